"""One output: the engines' ids go to a detokenize session, both report into one outbox."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from gateway.cache_scope import cache_scope
from gateway.clients.detokenize_session import Session
from gateway.clients.detokenizer import DetokenizeClient
from gateway.engine_run import EngineRun
from gateway.guarded_outbox import GuardedOutbox, Patience
from gateway.output import Signal
from gateway.upstream_values import EngineRequest, EngineUpdate, SessionOptions
from gateway.values import EncodedPrompt, GenerationRequest
from steeple_rpc.errors import EngineFault, ServiceError

_SIGNAL_BYTES = 64


class Generation:
    """What one output needs on its way.

    Args:
        request: checked.
        prompt: its ids.
        model: served name.
        patience: with the caller.
        bad_word_ids: every way to write the request's bad words.
    """

    def __init__(
        self,
        request: GenerationRequest,
        prompt: EncodedPrompt,
        model: str,
        patience: Patience,
        *,
        bad_word_ids: tuple[tuple[int, ...], ...] = (),
    ) -> None:
        self._request = request
        self._bad_word_ids = bad_word_ids
        self._prompt = prompt
        self.model = model
        self.engine_request_id = f"{uuid.uuid4()}/0#1"
        self._patience = patience
        self._num_received = 0
        self._session: Session | None = None

    async def signals(
        self,
        run: EngineRun,
        detokenizer: DetokenizeClient,
        clock: Callable[[], float],
    ) -> AsyncGenerator[Sequence[Signal], None]:
        """Run it; everything that becomes known, in batches, until the output has ended.

        The engine's start comes first. Leaving in any way ends the request on the engine and
        closes the session. Call once, in the task that reads to the end: it is cancelled if its
        time is over, or it reads too slowly, and it does not leave.

        Raises:
            ServiceError: no engine or no session could end it, somebody aborted the request, the
                caller reads too slowly, or the time is over.
        """
        detokenizer.check_ready()
        # The engine keeps the deadline too; this is for a session that never ends.
        outbox = GuardedOutbox[Signal](clock, self._patience)
        reading = asyncio.create_task(self._read(run, detokenizer, outbox))
        try:
            async with aclosing(outbox.batches()) as batches:
                async for batch in batches:
                    yield batch
        finally:
            outbox.release()
            reading.cancel()
            try:
                await asyncio.wait({reading})
            finally:
                # Whoever leaves may be cancelled once more: by the deadline and by the caller.
                if self._session is not None:
                    self._session.close()
            if not reading.cancelled():
                reading.result()

    async def _read(
        self, run: EngineRun, detokenizer: DetokenizeClient, outbox: GuardedOutbox[Signal]
    ) -> None:
        """Carry the engine's updates over while they are wanted; its failure closes the outbox."""
        has_ended = False

        def take(update: EngineUpdate) -> bool:
            nonlocal has_ended
            # Not before: a session without tokens expires, and requests queue for long.
            if self._session is None:
                self._session = detokenizer.open(self._session_options(), outbox)
            is_wanted = self._tell(update, outbox)
            if is_wanted:
                self._push(self._session, update)
                has_ended = update.finish_reason is not None
            return is_wanted

        try:
            await run.run(take)
        except ServiceError as error:
            outbox.close(error)
        finally:
            # After a regular end the session's last update closes the outbox.
            if not has_ended:
                outbox.close(EngineFault("the output has no end"))

    def _tell(self, update: EngineUpdate, outbox: GuardedOutbox[Signal]) -> bool:
        """Pass an update on; False if nothing more is wanted."""
        size_bytes = _SIGNAL_BYTES * _num_told(update)
        if update.is_first or update.finish_reason is not None:
            return outbox.put(update, size_bytes)
        # Ids without their text tell the caller nothing: to wake his task would be in vain.
        return outbox.put_silently(update, size_bytes)

    def _push(self, session: Session, update: EngineUpdate) -> None:
        is_last = update.finish_reason is not None
        token_ids = update.token_ids
        # An end without tokens comes without a position.
        position = update.first_position if token_ids else self._num_received
        self._num_received = position + len(token_ids)
        if update.stop_token_id is not None and not self._request.include_stop_in_output:
            token_ids = token_ids[:-1]
        if token_ids or is_last:
            session.push(position, token_ids, final=is_last, aside_ids=_candidates(update))

    def engine_request(self) -> EngineRequest:
        """What the first engine is asked for."""
        return EngineRequest(
            request_id=self.engine_request_id,
            model=self.model,
            prompt_token_ids=self._prompt.token_ids,
            sampling=self._request.sampling,
            stopping=self._request.stopping,
            bad_word_ids=self._bad_word_ids,
            logprobs=self._request.logprobs,
            priority=self._request.priority,
            cache_salt=cache_scope(self._request.principal, self._request.cache_salt),
        )

    def _session_options(self) -> SessionOptions:
        request = self._request
        return SessionOptions(
            model=self.model,
            prompt_tail_ids=self._prompt.token_ids[self._prompt.tail_start :],
            stop=request.stop,
            min_tokens=request.min_tokens,
            skip_special_tokens=request.skip_special_tokens,
            include_stop_in_output=request.include_stop_in_output,
            token_texts=request.tells_tokens,
        )


def _candidates(update: EngineUpdate) -> tuple[int, ...]:
    """The tokens whose own texts are told beside the output's, each once."""
    return tuple(dict.fromkeys(i for odds in update.logprobs for i, _ in odds.top))


def _num_told(update: EngineUpdate) -> int:
    """How many things an update tells, itself included: what waits is counted by it."""
    return 1 + sum(1 + len(odds.top) for odds in update.logprobs)
