"""One long-lived stream to the tokenizer service that decodes every live output of this gateway.

Sessions put commands into one outbox; what gathers while a message is on its way leaves as one
message. If the stream breaks, its sessions end TOKENIZER_LOST and a new stream is opened.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import grpc

from gateway.upstream_values import SessionOptions, TextUpdate
from gateway.values import Token
from steeple.tokenizer.v1 import detokenize_pb2, tokenizer_service_pb2_grpc
from steeple.tokenizer.v1.detokenize_pb2 import PushTokens
from steeple_rpc.errors import EngineFault, ServiceError, Unavailable
from steeple_rpc.outbox import Outbox
from steeple_rpc.status import from_proto
from steeple_rpc.telemetry import logger

PAUSE_S = 0.5
# Commands of every session share this outbox; a session's own share is bounded by its engine.
MAX_COMMAND_BYTES = 64 << 20
_ITEM_BYTES = 32
MAX_ASIDE_IDS = 4096
"""Of one push; the service takes no more."""
# Where a session's error names one of these, its cause is what the engine produced.
_ENGINES_FIELDS = frozenset({"ids", "aside_ids", "prior_output_ids", "first_position"})


class TextSink(Protocol):
    """The part of an outbox that a session writes to."""

    def put(self, item: TextUpdate, size_bytes: int) -> bool:
        """Take an update; False ends the session."""

    def close(self, error: ServiceError | None = None) -> None:
        """No more updates."""


class Session:
    """One growing output: push ids, its text comes through the sink given to `open`."""

    def __init__(self, number: int, stream: "DetokenizeClient") -> None:
        self._number = number
        self._stream = stream

    def push(
        self,
        first_position: int,
        token_ids: tuple[int, ...],
        *,
        final: bool,
        aside_ids: tuple[int, ...] = (),
    ) -> None:
        """Decode more ids; with `final`, release everything that was held back.

        Args:
            first_position: how many ids came before.
            token_ids: in order.
            final: no more will come.
            aside_ids: ids that are no output; their own texts come with the next update at last.
        """
        asides = [
            aside_ids[start : start + MAX_ASIDE_IDS]
            for start in range(0, len(aside_ids), MAX_ASIDE_IDS)
        ]
        # Ahead of the ids: the update that tells these must have the texts.
        for some in asides[:-1]:
            self._send(PushTokens(first_position=first_position, aside_ids=some))
        last = asides[-1] if asides else ()
        self._send(
            PushTokens(first_position=first_position, ids=token_ids, final=final, aside_ids=last)
        )

    def _send(self, push: PushTokens) -> None:
        self._stream.expect_asides(self._number, push.aside_ids)
        self._stream.command(detokenize_pb2.SessionCommand(session=self._number, push=push))

    def close(self) -> None:
        """Forget the session. Idempotent; needed on every path."""
        self._stream.forget(self._number)


@dataclass(slots=True)
class _OpenSession:
    """Where a session's updates go, and the asides whose texts are still to come, in order."""

    updates: TextSink
    asides: deque[int] = field(default_factory=deque)


class DetokenizeClient:
    """The gateway's stream. `run` keeps it open; sessions need it to be.

    Args:
        channel: to the tokenizer service.
        clock: monotonic seconds.
        pause_s: between the loss of a stream and the next one.
        max_command_bytes: what may wait for the service; more, and the stream counts as lost.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        clock: Callable[[], float],
        *,
        pause_s: float = PAUSE_S,
        max_command_bytes: int = MAX_COMMAND_BYTES,
    ) -> None:
        self._pause_s = pause_s
        self._max_command_bytes = max_command_bytes
        self._stub = tokenizer_service_pb2_grpc.TokenizerServiceStub(channel)
        self._clock = clock
        self._numbers = itertools.count(1)
        self._sessions: dict[int, _OpenSession] = {}
        self._commands: Outbox[detokenize_pb2.SessionCommand] | None = None
        self._call: grpc.aio.Call | None = None
        self._is_draining = False

    @property
    def num_sessions(self) -> int:
        """Sessions that are open."""
        return len(self._sessions)

    def check_ready(self) -> None:
        """Tell before work is done for nothing that no session could be opened.

        Raises:
            Unavailable: the stream is down or the service is draining.
        """
        if self._commands is None or self._commands.is_closed or self._is_draining:
            raise Unavailable("the tokenizer service is not there", reason="TOKENIZER_LOST")

    def open(self, options: SessionOptions, updates: TextSink) -> Session:
        """Start decoding an output.

        Args:
            options: how.
            updates: gets a TextUpdate for all that becomes known; closed after the last one.

        Raises:
            Unavailable: the stream is down or the service is draining.
        """
        self.check_ready()
        number = next(self._numbers)
        self._sessions[number] = _OpenSession(updates)
        self.command(detokenize_pb2.SessionCommand(session=number, open=_opening(options)))
        return Session(number, self)

    def command(self, command: detokenize_pb2.SessionCommand) -> None:
        """Pass a session's command; dropped where the stream is down, for its session is too."""
        if self._commands is None:
            return
        if not self._commands.put(command, _ITEM_BYTES + command.ByteSize()) and self._call:
            # The service does not read: its reader may wait in a write, and only this wakes it.
            self._call.cancel()

    def expect_asides(self, number: int, token_ids: Sequence[int]) -> None:
        """Remember which ids a session's next aside texts belong to."""
        if number in self._sessions:
            self._sessions[number].asides.extend(token_ids)

    def forget(self, number: int) -> None:
        """Close a session on both sides if it still is open."""
        if self._sessions.pop(number, None) is not None:
            closing = detokenize_pb2.CloseSession()
            self.command(detokenize_pb2.SessionCommand(session=number, close=closing))

    async def run(self) -> None:
        """Keep a stream open until cancelled."""
        while True:
            self._is_draining = False
            self._commands = Outbox(
                self._clock, max_bytes=self._max_command_bytes, max_wait_s=float("inf")
            )
            try:
                await self._converse(self._commands)
            except grpc.aio.AioRpcError as error:
                logger().warning("detokenize_stream_lost", code=error.code().name)
            except asyncio.CancelledError:
                # A call that is cancelled here raises in its reader what a task's own end does.
                if _is_this_task_ending():
                    raise
                logger().warning("detokenize_stream_lost", code="CANCELLED")
            finally:
                self._lose()
            await asyncio.sleep(self._pause_s)

    async def _converse(self, commands: Outbox[detokenize_pb2.SessionCommand]) -> None:
        call = self._stub.Detokenize(_requests(commands), wait_for_ready=True)
        self._call = call
        try:
            async for response in call:
                self._is_draining = self._is_draining or response.draining
                for update in response.updates:
                    self._deliver(update)
        finally:
            call.cancel()

    def _deliver(self, update: detokenize_pb2.SessionUpdate) -> None:
        session = self._sessions.get(update.session)
        if session is None:
            return
        updates = session.updates
        ended = update.final or update.HasField("matched_stop") or update.HasField("error")
        if ended:
            del self._sessions[update.session]
        if update.HasField("error"):
            updates.close(_told(from_proto(update.error)))
        elif not updates.put(_text_update(update, session.asides), _ITEM_BYTES + update.ByteSize()):
            self.forget(update.session)
        elif ended:
            updates.close()

    def _lose(self) -> None:
        self._commands = self._call = None
        sessions, self._sessions = self._sessions, {}
        lost: ServiceError = Unavailable("the tokenizer service was lost", reason="TOKENIZER_LOST")
        for session in sessions.values():
            session.updates.close(lost)


async def _requests(
    commands: Outbox[detokenize_pb2.SessionCommand],
) -> AsyncIterator[detokenize_pb2.DetokenizeRequest]:
    try:
        async for batch in commands.batches():
            yield detokenize_pb2.DetokenizeRequest(commands=batch)
    except ServiceError as error:
        # Too much waited. Ends rather than raises: grpc would log it as a fault of its own.
        logger().warning("detokenize_commands_full", reason=error.reason)


def _is_this_task_ending() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _opening(options: SessionOptions) -> detokenize_pb2.OpenSession:
    return detokenize_pb2.OpenSession(
        model=options.model,
        prompt_tail_ids=options.prompt_tail_ids,
        stop=options.stop,
        min_tokens=options.min_tokens,
        skip_special_tokens=options.skip_special_tokens,
        include_stop_in_output=options.include_stop_in_output,
        token_texts=options.token_texts,
    )


def _told(error: ServiceError) -> ServiceError:
    """A session's error as its caller may be told it: ids come from the engine, not from him."""
    if error.field not in _ENGINES_FIELDS:
        return error
    logger().error("engine_output_refused", reason=error.reason, field=error.field)
    return EngineFault("the engine produced what is no output of the model", reason="BAD_ENGINE")


def _text_update(update: detokenize_pb2.SessionUpdate, asides: deque[int]) -> TextUpdate:
    return TextUpdate(
        text=update.text,
        num_consumed=update.ids_consumed,
        tokens=tuple(Token(token_id=token.id, text=token.text) for token in update.tokens),
        aside_texts={asides.popleft(): text for text in update.aside_texts},
        matched_stop=update.matched_stop if update.HasField("matched_stop") else None,
        is_final=update.final,
    )
