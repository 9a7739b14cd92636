"""One long-lived stream to the tokenizer service that decodes every live output of this gateway.

Sessions put commands into one outbox; what gathers while a message is on its way leaves as one
message. If the stream breaks, a new one is opened and its sessions go on there; only where none
serves them in time do they end TOKENIZER_LOST.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing

import grpc

from gateway.clients.detokenize_session import ITEM_BYTES, Session, TextSink
from gateway.upstream_values import SessionOptions, TokenizerFacts
from steeple.tokenizer.v1 import detokenize_pb2, tokenizer_service_pb2_grpc
from steeple_rpc.context import TAKEN_UP
from steeple_rpc.errors import EngineFault, ServiceError, Unavailable
from steeple_rpc.outbox import Outbox
from steeple_rpc.status import from_proto
from steeple_rpc.telemetry import logger

PAUSE_S = 0.2
PATIENCE_S = 30.0
# Commands of every session share this outbox; a session's own share is bounded by its engine.
MAX_COMMAND_BYTES = 64 << 20
# Where a session's error names one of these, its cause is what the engine produced.
_ENGINES_FIELDS = frozenset({"ids", "aside_ids", "prior_output_ids", "first_position"})

LearnFacts = Callable[[], Awaitable[Mapping[str, TokenizerFacts]]]


class DetokenizeClient:
    """The gateway's stream. `run` keeps it open; sessions need it to be.

    Args:
        channel: to the tokenizer service.
        learn: asks the service what it serves: a session goes on with its own tokenizer only.
        clock: monotonic seconds.
        patience_s: so long sessions wait for a stream.
        pause_s: between the loss of a stream and the next one.
        max_command_bytes: what may wait for the service; more, and it counts as lost for good.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        learn: LearnFacts,
        clock: Callable[[], float],
        *,
        patience_s: float = PATIENCE_S,
        pause_s: float = PAUSE_S,
        max_command_bytes: int = MAX_COMMAND_BYTES,
    ) -> None:
        self._learn = learn
        self._patience_s = patience_s
        self._pause_s = pause_s
        self._max_command_bytes = max_command_bytes
        self._stub = tokenizer_service_pb2_grpc.TokenizerServiceStub(channel)
        self._clock = clock
        self._numbers = itertools.count(1)
        self._sessions: dict[int, Session] = {}
        self._fingerprints: Mapping[str, str] = {}
        self._commands: Outbox[detokenize_pb2.SessionCommand] | None = None
        self._call: grpc.aio.Call | None = None
        self._is_draining = False
        self._is_hopeless = True
        self._giving_up: asyncio.TimerHandle | None = None

    @property
    def num_sessions(self) -> int:
        """Sessions that are open now."""
        return len(self._sessions)

    def check_ready(self) -> None:
        """Tell before work is done for nothing that no session could be opened.

        Raises:
            Unavailable: the stream has been down for long, or the service is draining.
        """
        if self._is_hopeless or self._is_draining:
            raise _lost()

    def open(self, options: SessionOptions, updates: TextSink) -> Session:
        """Start decoding an output; now, or when the stream is there again.

        Args:
            options: how.
            updates: gets a TextUpdate for all that becomes known; closed after the last one.

        Raises:
            Unavailable: the stream has been down for long.
        """
        if self._is_hopeless:
            raise _lost()
        session = Session(
            next(self._numbers),
            options,
            updates,
            fingerprint=self._fingerprints.get(options.model, ""),
            send=self._send,
            forget=self._forget,
        )
        self._sessions[session.number] = session
        if not self._is_draining:
            self._start(session)
        return session

    def break_off(self) -> None:
        """Leave the stream that is open: its service does not answer. Its sessions go on."""
        if self._call is not None:
            self._call.cancel()

    async def run(self) -> None:
        """Keep a stream open until cancelled."""
        self._hope()
        while True:
            try:
                await self._converse()
            except grpc.aio.AioRpcError as error:
                logger().warning("detokenize_stream_lost", code=error.code().name)
            except ServiceError as error:
                logger().warning("detokenize_stream_lost", reason=error.reason)
            except asyncio.CancelledError:
                # A call that is cancelled here raises in its reader what a task's own end does.
                if _is_this_task_ending():
                    self._is_hopeless = True
                    raise
                logger().warning("detokenize_stream_lost", code="CANCELLED")
            finally:
                self._lose()
            await asyncio.sleep(self._pause_s)

    async def _converse(self) -> None:
        commands = Outbox[detokenize_pb2.SessionCommand](
            self._clock, max_bytes=self._max_command_bytes, max_wait_s=float("inf")
        )
        call = self._stub.Detokenize(_requests(commands), wait_for_ready=True)
        self._call = call
        try:
            if set(TAKEN_UP) <= set(await call.initial_metadata()):
                # Asked after the stream is there: both are the same process's.
                self._begin(commands, await self._learn())
            async for response in call:
                self._is_draining = self._is_draining or response.draining
                for update in response.updates:
                    self._deliver(update)
        finally:
            commands.close()
            call.cancel()

    def _begin(
        self,
        commands: Outbox[detokenize_pb2.SessionCommand],
        facts: Mapping[str, TokenizerFacts],
    ) -> None:
        """Carry every session on that the service can carry on."""
        self._commands = commands
        self._is_draining = self._is_hopeless = False
        self._stop_waiting()
        self._fingerprints = {model: fact.fingerprint for model, fact in facts.items()}
        for session in tuple(self._sessions.values()):
            fingerprint = self._fingerprints.get(session.model, "")
            if session.fingerprint in ("", fingerprint):
                session.fingerprint = fingerprint
                self._start(session)
            else:
                del self._sessions[session.number]
                session.end(_mismatch())

    def _start(self, session: Session) -> None:
        session.is_on_stream = self._commands is not None
        for command in session.opening():
            self._send(command)

    def _send(self, command: detokenize_pb2.SessionCommand) -> None:
        """Pass a session's command on; where the stream is down, the session keeps it."""
        if self._commands is None:
            return
        is_taken = self._commands.put(command, ITEM_BYTES + command.ByteSize())
        if not is_taken and self._call is not None:
            # The service does not read: its reader may wait in a write, and only this wakes it.
            self._is_hopeless = True
            self._call.cancel()

    def _forget(self, number: int) -> None:
        """Close a session on both sides if it still is open."""
        session = self._sessions.pop(number, None)
        if session is not None and session.is_on_stream:
            self._send(session.closing())

    def _deliver(self, update: detokenize_pb2.SessionUpdate) -> None:
        session = self._sessions.get(update.session)
        if session is None:
            return
        if update.HasField("error"):
            self._fail(session, from_proto(update.error))
        elif not session.take(update):
            self._forget(session.number)
        elif update.final or update.HasField("matched_stop"):
            del self._sessions[session.number]
            session.end()

    def _fail(self, session: Session, error: ServiceError) -> None:
        """The service ended a session: go on with it where that was no fault of its own."""
        if error.reason == "SESSION_EXPIRED":
            # Its engine was silent for long: no reason to end it here.
            self._start(session)
        elif error.reason == "DRAINING":
            session.is_on_stream = False
        else:
            del self._sessions[session.number]
            session.end(_told(error))

    def _hope(self) -> None:
        """Sessions may wait for a stream from now on."""
        self._is_hopeless = False
        loop = asyncio.get_running_loop()
        self._giving_up = loop.call_later(self._patience_s, self._give_up)

    def _lose(self) -> None:
        """The stream is gone; its sessions wait for the next one, unless that is hopeless."""
        was_up = self._commands is not None
        self._commands = self._call = None
        self._is_draining = False
        for session in self._sessions.values():
            session.is_on_stream = False
        if self._is_hopeless:
            self._give_up()
        elif was_up:
            self._hope()

    def _give_up(self) -> None:
        self._stop_waiting()
        self._is_hopeless = True
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            session.end(_lost())

    def _stop_waiting(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None


async def _requests(
    commands: Outbox[detokenize_pb2.SessionCommand],
) -> AsyncIterator[detokenize_pb2.DetokenizeRequest]:
    try:
        async with aclosing(commands.batches()) as batches:
            async for batch in batches:
                yield detokenize_pb2.DetokenizeRequest(commands=batch)
    except ServiceError as error:
        # Too much waited. Ends rather than raises: grpc would log it as a fault of its own.
        logger().warning("detokenize_commands_full", reason=error.reason)


def _is_this_task_ending() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _lost() -> Unavailable:
    return Unavailable("the tokenizer service was lost", reason="TOKENIZER_LOST")


def _mismatch() -> Unavailable:
    return Unavailable(
        "the tokenizer service came back with another tokenizer", reason="UPSTREAM_MISMATCH"
    )


def _told(error: ServiceError) -> ServiceError:
    """A session's error as its caller may be told it: ids come from the engine, not from him."""
    if error.field not in _ENGINES_FIELDS:
        return error
    logger().error("engine_output_refused", reason=error.reason, field=error.field)
    return EngineFault("the engine produced what is no output of the model", reason="BAD_ENGINE")
