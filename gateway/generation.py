"""One output on one engine: its ids go to a detokenize session, both report into one outbox."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from gateway.clients.detokenizer import DetokenizeClient, Session, SessionOptions
from gateway.clients.engine import EngineClient, EngineRequest, EngineUpdate
from gateway.output import Signal
from gateway.values import EncodedPrompt, GenerationRequest
from steeple_rpc.errors import DeadlineExpired, EngineFault, ServiceError
from steeple_rpc.outbox import Outbox

_SIGNAL_BYTES = 64


class Generation:
    """What one output needs on its way.

    Args:
        request: checked.
        prompt: its ids.
        model: served name.
        timeout_s: what is left of the caller's patience.
    """

    def __init__(
        self,
        request: GenerationRequest,
        prompt: EncodedPrompt,
        model: str,
        timeout_s: float,
    ) -> None:
        self._request = request
        self._prompt = prompt
        self.model = model
        self._timeout_s = timeout_s
        self._num_received = 0

    async def signals(
        self,
        engine: EngineClient,
        detokenizer: DetokenizeClient,
        clock: Callable[[], float],
    ) -> AsyncGenerator[Sequence[Signal], None]:
        """Run it; everything that becomes known, in batches, until the output has ended.

        Leaving in any way ends the request on the engine and closes the session.

        Raises:
            ServiceError: the engine or the session failed, the caller reads too slowly, or the
                time is over.
        """
        outbox = Outbox[Signal](clock)
        # The engine keeps the deadline; this is for a session that never ends.
        expiry = asyncio.get_running_loop().call_later(
            self._timeout_s, outbox.close, DeadlineExpired("the request took too long")
        )
        session = detokenizer.open(self._session_options(), outbox)
        reading = asyncio.create_task(self._read(engine, session, outbox))
        try:
            async for batch in outbox.batches():
                yield batch
        finally:
            expiry.cancel()
            session.close()
            reading.cancel()
            await asyncio.wait({reading})
            if not reading.cancelled():
                reading.result()

    async def _read(self, engine: EngineClient, session: Session, outbox: Outbox[Signal]) -> None:
        """Carry the engine's updates over while they are wanted; its failure closes the outbox."""
        has_ended = False
        updates = engine.generate(self._engine_request(), self._timeout_s)
        try:
            async with aclosing(updates):
                async for update in updates:
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
            request_id=f"{uuid.uuid4()}/0#1",
            model=self.model,
            prompt_token_ids=self._prompt.token_ids,
            sampling=self._request.sampling,
            stopping=self._request.stopping,
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
