"""One output on one engine: its ids go to a detokenize session, both report into one outbox."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from gateway.clients.detokenizer import DetokenizeClient, Session
from gateway.clients.engine import EngineClient
from gateway.guarded_outbox import GRACE_S, GuardedOutbox
from gateway.output import Signal
from gateway.upstream_values import EngineRequest, EngineUpdate, SessionOptions
from gateway.values import EncodedPrompt, FinishReason, GenerationRequest
from steeple_rpc.errors import Aborted, EngineFault, ServiceError

_SIGNAL_BYTES = 64


class Generation:
    """What one output needs on its way.

    Args:
        request: checked.
        prompt: its ids.
        model: served name.
        timeout_s: what is left of the caller's patience.
        grace_s: what a reader that is out of time gets before its task is cancelled.
    """

    def __init__(
        self,
        request: GenerationRequest,
        prompt: EncodedPrompt,
        model: str,
        timeout_s: float,
        *,
        grace_s: float = GRACE_S,
    ) -> None:
        self._request = request
        self._prompt = prompt
        self.model = model
        self.engine_request_id = f"{uuid.uuid4()}/0#1"
        self._timeout_s = timeout_s
        self._grace_s = grace_s
        self._num_received = 0
        self._session: Session | None = None

    async def signals(
        self,
        engine: EngineClient,
        detokenizer: DetokenizeClient,
        clock: Callable[[], float],
    ) -> AsyncGenerator[Sequence[Signal], None]:
        """Run it; everything that becomes known, in batches, until the output has ended.

        The engine's start comes first. Leaving in any way ends the request on the engine and
        closes the session. Call once, in the task that reads to the end: it is cancelled if its
        time is over, or it reads too slowly, and it does not leave.

        Raises:
            ServiceError: the engine or the session failed, somebody aborted the request, the
                caller reads too slowly, or the time is over.
        """
        detokenizer.check_ready()
        # The engine keeps the deadline too; this is for a session that never ends.
        outbox = GuardedOutbox[Signal](clock, timeout_s=self._timeout_s, grace_s=self._grace_s)
        reading = asyncio.create_task(self._read(engine, detokenizer, outbox))
        try:
            async with aclosing(outbox.batches()) as batches:
                async for batch in batches:
                    yield batch
        finally:
            outbox.release()
            reading.cancel()
            await asyncio.wait({reading})
            if self._session is not None:
                self._session.close()
            if not reading.cancelled():
                reading.result()

    async def _read(
        self, engine: EngineClient, detokenizer: DetokenizeClient, outbox: GuardedOutbox[Signal]
    ) -> None:
        """Carry the engine's updates over while they are wanted; its failure closes the outbox."""
        has_ended = False
        updates = engine.generate(self._engine_request(), self._timeout_s)
        try:
            async with aclosing(updates):
                async for update in updates:
                    # Not before: a session without tokens expires, and requests queue for long.
                    session = self._session or self._opened(update, detokenizer, outbox)
                    if not outbox.put(update, _SIGNAL_BYTES):
                        break
                    self._push(session, update)
                    has_ended = update.finish_reason is not None
        except ServiceError as error:
            outbox.close(error)
        finally:
            # After a regular end the session's last update closes the outbox.
            if not has_ended:
                outbox.close(EngineFault("the engine's stream ended early", reason="BAD_ENGINE"))

    def _opened(
        self,
        update: EngineUpdate,
        detokenizer: DetokenizeClient,
        outbox: GuardedOutbox[Signal],
    ) -> Session:
        """The session, from the engine's first update on.

        Raises:
            Aborted: the engine ended the request without having started it.
            EngineFault: it tells of a request that it has not started.
            Unavailable: nobody can decode.
        """
        if not update.is_first and update.finish_reason is FinishReason.ABORTED:
            raise Aborted("the request was aborted before it started")
        if not update.is_first:
            raise EngineFault("the engine did not tell the start first", reason="BAD_ENGINE")
        self._session = detokenizer.open(self._session_options(), outbox)
        return self._session

    def _push(self, session: Session, update: EngineUpdate) -> None:
        is_last = update.finish_reason is not None
        token_ids = update.token_ids
        # An end without tokens comes without a position.
        position = update.first_position if token_ids else self._num_received
        self._num_received = position + len(token_ids)
        if update.stop_token_id is not None and not self._request.include_stop_in_output:
            token_ids = token_ids[:-1]
        if token_ids or is_last:
            session.push(position, token_ids, final=is_last)

    def _engine_request(self) -> EngineRequest:
        return EngineRequest(
            request_id=self.engine_request_id,
            model=self.model,
            prompt_token_ids=self._prompt.token_ids,
            sampling=self._request.sampling,
            stopping=self._request.stopping,
            priority=self._request.priority,
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
            token_texts=request.token_details,
        )
