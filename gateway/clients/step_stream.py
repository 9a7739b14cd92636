"""One stream to an engine that carries every request of this gateway: one message per step.

It is opened with the first request and, where it was lost, with the next one. What it loses is told
to its requests; they go on elsewhere.
"""

import asyncio
import contextvars
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import grpc

from gateway.clients.calls import gone, told
from gateway.slices import slices
from steeple.engine.v1 import engine_service_pb2_grpc, generate_pb2, step_stream_pb2
from steeple_rpc.channel import MAX_MESSAGE_BYTES
from steeple_rpc.errors import DeadlineExpired, InvalidRequest, ServiceError, Unavailable
from steeple_rpc.outbox import Outbox
from steeple_rpc.status import from_proto
from steeple_rpc.telemetry import logger

LOST = "ENGINE_LOST"
MAX_WAITING_BYTES = 64 << 20
"""Of commands that the engine does not read; more, and it counts as lost."""
_FRAME_BYTES = 32
"""At most: what a command takes in its message beyond its own bytes."""

Take = Callable[[generate_pb2.GenerateResponse], bool]
Command = step_stream_pb2.RequestCommand


@dataclass(frozen=True, slots=True)
class _Request:
    """One live request."""

    take: Take
    ended: "asyncio.Future[None]"
    context: contextvars.Context
    """Its task's own: what `take` logs and traces is the request's."""


class StepStream:
    """The stream to one engine, whichever call carries it now.

    Args:
        channel: to the engine.
        clock: monotonic seconds.
    """

    def __init__(self, channel: grpc.aio.Channel, clock: Callable[[], float]) -> None:
        self._stub = engine_service_pb2_grpc.EngineServiceStub(channel)
        self._clock = clock
        self._numbers = itertools.count(1)
        self._conversation: _Conversation | None = None
        self.max_message_bytes = MAX_MESSAGE_BYTES
        """The engine takes no larger ones."""

    async def run(
        self, submit: step_stream_pb2.SubmitRequest, timeout_s: float | None, take: Take
    ) -> None:
        """Carry one request to its end; leaving in any way ends it on the engine.

        Args:
            submit: begins it.
            timeout_s: what the caller has left.
            take: gets what the engine tells, in order; False = nothing more is wanted.

        Raises:
            ServiceError: what the engine ended it with, or what `take` raised.
            Unavailable: the stream was lost under it.
            DeadlineExpired: its time is over.
        """
        command = Command(number=next(self._numbers), submit=submit)
        self._check_size(command)
        conversation = self._talk()
        ended = asyncio.get_running_loop().create_future()
        request = _Request(take, ended, contextvars.copy_context())
        with _expiring(ended, timeout_s), conversation.request(command, request):
            await ended

    def break_off(self) -> None:
        """Leave the stream: its engine does not answer."""
        if self._conversation is not None:
            self._conversation.end()

    async def close(self) -> None:
        """End it and all its requests."""
        conversation, self._conversation = self._conversation, None
        if conversation is not None:
            conversation.end()
            await conversation.closed()

    def _talk(self) -> "_Conversation":
        if self._conversation is None or self._conversation.is_over:
            self._conversation = _Conversation(self._stub, self._clock, self.max_message_bytes)
        return self._conversation

    def _check_size(self, command: Command) -> None:
        """A message that is too large would end the stream, with everybody else's requests."""
        if _size(command) > self.max_message_bytes:
            raise InvalidRequest(
                f"the request has {command.ByteSize()} bytes for the engine, which takes messages"
                f" of at most {self.max_message_bytes}",
                reason="REQUEST_TOO_LARGE",
            )


class _Conversation:
    """One call: its commands, its live requests, and the task that reads it."""

    def __init__(self, stub: Any, clock: Callable[[], float], max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes
        self._commands = Outbox[Command](
            clock, max_bytes=MAX_WAITING_BYTES, max_wait_s=float("inf")
        )
        self._requests: dict[int, _Request] = {}
        # Of no request's context: it outlives the one that opens it, and speaks for all.
        context = contextvars.Context()
        self._call = context.run(stub.StepStream, self._messages())
        self._reading = asyncio.create_task(self._read(), context=context)
        self.is_over = False
        """No further request may begin."""

    @contextmanager
    def request(self, command: Command, request: _Request) -> Iterator[None]:
        """The request that the command begins lives in the block at most."""
        self._requests[command.number] = request
        self._send(command)
        try:
            yield
        finally:
            self._leave(command.number)

    def end(self) -> None:
        """End the call; all who live are told that the engine was lost. Idempotent."""
        self.is_over = True
        self._call.cancel()

    async def closed(self) -> None:
        """Return when nothing of it is left."""
        await asyncio.wait({self._reading})

    def _leave(self, number: int) -> None:
        """End a request that still lives; it is told nothing more."""
        if self._requests.pop(number, None) is not None:
            self._send(Command(number=number, leave=step_stream_pb2.LeaveRequest()))

    def _send(self, command: Command) -> None:
        if not self._commands.put(command, command.ByteSize()) and not self.is_over:
            logger().warning("engine_commands_full", max_bytes=MAX_WAITING_BYTES)
            self.end()

    async def _read(self) -> None:
        """Read the call to its end. It is never cancelled within a read: see docs/grpc.md."""
        error: ServiceError = gone(LOST)
        try:
            async for response in self._call:
                for update in response.updates:
                    self._deliver(update)
            error = Unavailable("the engine is draining", reason="DRAINING")
        except grpc.aio.AioRpcError as lost:
            error = _loss(lost)
        finally:
            self.is_over = True
            self._commands.close()
            self._call.cancel()
            for number in tuple(self._requests):
                self._end(number, error)

    def _deliver(self, update: step_stream_pb2.RequestUpdate) -> None:
        request = self._requests.get(update.number)
        if request is None:
            return
        is_wanted = True
        if update.HasField("response"):
            try:
                is_wanted = request.context.run(request.take, update.response)
            except Exception as error:  # noqa: BLE001 - of one request: the others go on
                self._leave(update.number)
                _set(request.ended, error)
                return
        if not is_wanted:
            self._leave(update.number)
            _set(request.ended)
        elif update.HasField("error"):
            self._end(update.number, _for_caller(from_proto(update.error)))
        elif update.response.HasField("finished"):
            self._end(update.number)

    def _end(self, number: int, error: ServiceError | None = None) -> None:
        """The engine knows of a request no more."""
        _set(self._requests.pop(number).ended, error)

    async def _messages(self) -> AsyncIterator[step_stream_pb2.StepStreamRequest]:
        """What gathered, as messages that the engine takes."""
        # Too much waited: `_send` ends the call. To raise here would be logged as grpc's own fault.
        with suppress(ServiceError):
            async with aclosing(self._commands.batches()) as batches:
                async for batch in batches:
                    for commands in slices(batch, _size, max_size=self._max_message_bytes):
                        yield step_stream_pb2.StepStreamRequest(commands=commands)


def _for_caller(error: ServiceError) -> ServiceError:
    """What a request is told of its error: who read the engine too slowly is this gateway.

    Its caller may read well, so the request goes on as behind any loss.
    """
    if error.reason != "CLIENT_TOO_SLOW":
        return error
    logger().warning("engine_read_too_slowly")
    return gone(LOST)


def _loss(error: grpc.aio.AioRpcError) -> ServiceError:
    """What the requests of a stream that ended with `error` are told.

    Whatever it is, it is not theirs: a fault of one comes as its update. They go on elsewhere.
    """
    known = told(error, lost=LOST, is_callers_deadline=False)
    if isinstance(known, Unavailable):
        return known
    logger().error("engine_stream_failed", code=error.code().name, reason=known.reason)
    return gone(LOST)


def _size(command: Command) -> int:
    return command.ByteSize() + _FRAME_BYTES


@contextmanager
def _expiring(ended: "asyncio.Future[None]", timeout_s: float | None) -> Iterator[None]:
    """End a request whose time is over, in the block."""
    expired = DeadlineExpired("the request took too long")
    loop = asyncio.get_running_loop()
    timer = None if timeout_s is None else loop.call_later(timeout_s, _set, ended, expired)
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()


def _set(ended: "asyncio.Future[None]", error: Exception | None = None) -> None:
    if ended.done():
        return
    if error is None:
        ended.set_result(None)
    else:
        ended.set_exception(error)
