"""The gateway's one stream to an engine: who shares it, who is harmed by what, how it is lost."""

import asyncio
import gc
import time
import weakref
from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from gateway.clients import step_stream
from gateway.clients.step_stream import StepStream
from steeple.engine.v1 import engine_service_pb2_grpc, generate_pb2, step_stream_pb2
from steeple_rpc.channel import open_channel
from steeple_rpc.context import Context, send_headers
from steeple_rpc.errors import (
    DeadlineExpired,
    EngineFault,
    InvalidRequest,
    Overloaded,
    ServiceError,
    Unavailable,
)
from steeple_rpc.status import to_proto
from tests.support.servers import Serving, serving
from tests.support.timers import recorded_timers
from tests.support.waiting import eventually

TIMEOUT_S = 3600.0
Response = generate_pb2.GenerateResponse
END = Response(finished=generate_pb2.Finished())


@dataclass(eq=False)
class Somebody:
    """On whose behalf a task works."""

    name: str


WHO: ContextVar[Somebody] = ContextVar("who")


def token(token_id: int) -> Response:
    return Response(delta=generate_pb2.TokenDelta(token_ids=[token_id]))


@dataclass
class Talk:
    """One call to the engine: what came, and what the test lets it say."""

    messages: list[step_stream_pb2.StepStreamRequest] = field(default_factory=list)
    said: "asyncio.Queue[step_stream_pb2.StepStreamResponse | Exception | None]" = field(
        default_factory=asyncio.Queue
    )
    is_left: bool = False

    @property
    def commands(self) -> list[step_stream_pb2.RequestCommand]:
        return [command for message in self.messages for command in message.commands]

    @property
    def names(self) -> dict[str, int]:
        """The numbers of the requests that came, by their ids."""
        begun = (command for command in self.commands if command.HasField("submit"))
        return {command.submit.request.request_id: command.number for command in begun}

    @property
    def left(self) -> list[int]:
        return [command.number for command in self.commands if command.HasField("leave")]

    def say(self, *updates: tuple[str, Response | ServiceError]) -> None:
        """One message."""
        told = step_stream_pb2.StepStreamResponse()
        for name, what in updates:
            update = told.updates.add(number=self.names[name])
            if isinstance(what, ServiceError):
                update.error.CopyFrom(to_proto(what))
            else:
                update.response.CopyFrom(what)
        self.said.put_nowait(told)

    def end(self, error: Exception | None = None) -> None:
        self.said.put_nowait(error)

    async def has(self, *names: str) -> None:
        """Return once these requests have come."""
        await asyncio.to_thread(eventually, lambda: set(names) <= set(self.names))


class Engine(engine_service_pb2_grpc.EngineServiceServicer):
    """Its calls, in order."""

    def __init__(self) -> None:
        self.talks: list[Talk] = []

    def add_to(self, server: grpc.aio.Server) -> None:
        engine_service_pb2_grpc.add_EngineServiceServicer_to_server(self, server)

    async def StepStream(  # noqa: N802 - named by the contract
        self, request_iterator: AsyncIterator[step_stream_pb2.StepStreamRequest], context: Context
    ) -> AsyncIterator[step_stream_pb2.StepStreamResponse]:
        await send_headers(context)
        talk = Talk()
        self.talks.append(talk)
        reading = asyncio.create_task(self._read(request_iterator, talk))
        try:
            while (said := await talk.said.get()) is not None:
                if isinstance(said, Exception):
                    raise said
                yield said
        finally:
            talk.is_left = True
            reading.cancel()

    async def _read(
        self, requests: AsyncIterator[step_stream_pb2.StepStreamRequest], talk: Talk
    ) -> None:
        async for request in requests:
            talk.messages.append(request)

    async def talk(self, number: int = 0) -> Talk:
        """A call, as soon as it is there."""
        await asyncio.to_thread(eventually, lambda: len(self.talks) > number)
        return self.talks[number]


@pytest.fixture
async def engine() -> Engine:
    return Engine()  # type: ignore[abstract] # the other RPCs are not called


@pytest.fixture
async def served(engine: Engine) -> AsyncIterator[Serving]:
    async with serving(engine.add_to) as served:
        yield served


@pytest.fixture
async def stream(served: Serving) -> AsyncIterator[StepStream]:
    async with open_channel(served.address) as channel:
        stream = StepStream(channel, time.monotonic)
        yield stream
        await stream.close()


class Request:
    """One request and what it is told."""

    def __init__(
        self,
        stream: StepStream,
        name: str,
        *,
        timeout_s: float | None = None,
        num_prompt: int = 1,
        at_most: int | None = None,
        raises: Exception | None = None,
        cancels: "Request | None" = None,
    ) -> None:
        self.told: list[int] = []
        self.num_taken = 0
        self._at_most = at_most
        self._raises = raises
        self._cancels = cancels
        request = generate_pb2.GenerateRequest(request_id=name, prompt_token_ids=[1] * num_prompt)
        submit = step_stream_pb2.SubmitRequest(request=request)
        self.task = asyncio.create_task(stream.run(submit, timeout_s, self._take))

    def _take(self, response: Response) -> bool:
        self.num_taken += 1
        if self._raises is not None:
            raise self._raises
        if self._cancels is not None:
            self._cancels.task.cancel()
        self.told += response.delta.token_ids
        return len(self.told) != self._at_most

    async def error(self) -> Any:
        """What it ends with."""
        async with asyncio.timeout(10):
            await asyncio.wait({self.task})
        return self.task.exception()


async def test_all_requests_share_one_call(engine: Engine, stream: StepStream) -> None:
    a, b = Request(stream, "a"), Request(stream, "b")
    talk = await engine.talk()
    await talk.has("a", "b")
    talk.say(("a", token(5)), ("b", token(6)))
    talk.say(("b", END), ("a", token(7)))
    talk.say(("a", END))
    await asyncio.gather(a.task, b.task)
    assert (a.told, b.told) == ([5, 7], [6])
    assert talk.left == []
    assert len(engine.talks) == 1


async def test_what_the_engine_refuses_is_its_own_error(engine: Engine, stream: StepStream) -> None:
    refused, other = Request(stream, "a"), Request(stream, "b")
    talk = await engine.talk()
    await talk.has("a", "b")
    given = Overloaded("full", reason="QUEUE_FULL", retry_after_s=1.0)
    talk.say(("a", given), ("b", END))
    assert vars(await refused.error()) == vars(given)
    assert await other.error() is None
    assert talk.left == []


async def test_who_has_enough_leaves(engine: Engine, stream: StepStream) -> None:
    request = Request(stream, "a", at_most=1)
    talk = await engine.talk()
    await talk.has("a")
    talk.say(("a", token(5)), ("a", token(5)))
    await request.task
    await asyncio.to_thread(eventually, lambda: talk.left == [talk.names["a"]])
    talk.say(("a", token(6)))
    assert await Request(stream, "b", timeout_s=0.1).error() is not None
    assert request.told == [5]


async def test_who_is_cancelled_leaves(engine: Engine, stream: StepStream) -> None:
    request = Request(stream, "a")
    talk = await engine.talk()
    await talk.has("a")
    request.task.cancel()
    await asyncio.to_thread(eventually, lambda: talk.left == [talk.names["a"]])


async def test_a_fault_in_taking_ends_that_request_alone(
    engine: Engine, stream: StepStream
) -> None:
    fault = EngineFault("gap", reason="BAD_ENGINE")
    bad, good = Request(stream, "a", raises=fault), Request(stream, "b")
    talk = await engine.talk()
    await talk.has("a", "b")
    talk.say(("a", token(5)), ("a", token(6)), ("b", token(6)))
    talk.say(("b", END))
    assert await bad.error() is fault
    assert bad.num_taken == 1
    assert await good.error() is None
    await asyncio.to_thread(eventually, lambda: talk.left == [talk.names["a"]])


async def test_a_deadline_is_kept(engine: Engine, stream: StepStream) -> None:
    """Whatever the engine does."""
    error = await Request(stream, "a", timeout_s=0.05).error()
    assert isinstance(error, DeadlineExpired)
    talk = await engine.talk()
    await asyncio.to_thread(eventually, lambda: talk.left == [talk.names["a"]])


async def test_a_lost_engine_ends_all_and_the_next_request_opens_anew(
    engine: Engine, stream: StepStream
) -> None:
    requests = [Request(stream, name) for name in "ab"]
    talk = await engine.talk()
    await talk.has("a", "b")
    talk.end(RuntimeError("a fault of the whole engine"))
    assert [(await request.error()).reason for request in requests] == ["ENGINE_LOST"] * 2
    after = Request(stream, "c")
    talk = await engine.talk(1)
    await talk.has("c")
    talk.say(("c", END))
    assert await after.error() is None


@pytest.mark.parametrize(
    "fault",
    [InvalidRequest("twice", field="commands.number"), Overloaded("no", reason="QUEUE_FULL")],
)
async def test_what_ends_the_stream_is_blamed_on_no_request(
    engine: Engine, served: Serving, stream: StepStream, fault: ServiceError
) -> None:
    """They go on elsewhere, and the log tells what it was."""
    request = Request(stream, "a")
    talk = await engine.talk()
    await talk.has("a")
    talk.end(fault)
    error = await request.error()
    assert isinstance(error, Unavailable)
    assert error.reason == "ENGINE_LOST"
    (line,) = (line for line in served.logs if line["event"] == "engine_stream_failed")
    assert line["reason"] == fault.reason


async def test_an_engine_that_ends_its_stream_in_a_drain_says_so(
    engine: Engine, stream: StepStream
) -> None:
    """As at the end of its grace: requests are told why they go on elsewhere."""
    request = Request(stream, "a")
    talk = await engine.talk()
    await talk.has("a")
    talk.end(Unavailable("the service is ending", reason="DRAINING"))
    assert (await request.error()).reason == "DRAINING"


async def test_what_a_request_takes_it_takes_as_itself(engine: Engine, stream: StepStream) -> None:
    """Its log lines and spans have its own name, whoever opened the stream."""
    heard: list[tuple[str, str]] = []

    async def run(name: str) -> None:
        WHO.set(Somebody(name))
        submit = step_stream_pb2.SubmitRequest(
            request=generate_pb2.GenerateRequest(request_id=name)
        )

        def take(_: Response) -> bool:
            heard.append((name, WHO.get().name))
            return True

        await stream.run(submit, None, take)

    running = [asyncio.create_task(run(name)) for name in "ab"]
    talk = await engine.talk()
    await talk.has("a", "b")
    talk.say(("b", END), ("a", END))
    await asyncio.gather(*running)
    assert heard == [("b", "b"), ("a", "a")]


async def test_the_stream_keeps_nothing_of_the_request_that_opened_it(
    engine: Engine, stream: StepStream
) -> None:
    async def run() -> "weakref.ref[Somebody]":
        somebody = Somebody("a")
        WHO.set(somebody)
        request = Request(stream, "a")
        talk = await engine.talk()
        await talk.has("a")
        talk.say(("a", END))
        await request.task
        return weakref.ref(somebody)

    left = await asyncio.create_task(run())
    other = Request(stream, "b")
    await engine.talks[0].has("b")
    gc.collect()
    assert left() is None
    engine.talks[0].say(("b", END))
    await other.task


async def test_what_a_drain_lets_fall_goes_elsewhere(engine: Engine, stream: StepStream) -> None:
    """The engine ended its stream well, while a request was on its way to it."""
    request = Request(stream, "a")
    talk = await engine.talk()
    await talk.has("a")
    talk.end()
    error = await request.error()
    assert isinstance(error, Unavailable)
    assert error.reason == "DRAINING"


async def test_a_stream_that_is_broken_off_is_lost(engine: Engine, stream: StepStream) -> None:
    """To those who are on it; who comes next opens another."""
    request = Request(stream, "a")
    talk = await engine.talk()
    await talk.has("a")
    stream.break_off()
    after = Request(stream, "b")
    error = await request.error()
    assert isinstance(error, Unavailable)
    assert error.reason == "ENGINE_LOST"
    await asyncio.to_thread(eventually, lambda: talk.is_left)
    talk = await engine.talk(1)
    await talk.has("b")
    talk.say(("b", END))
    assert await after.error() is None


@pytest.mark.parametrize("is_lost", [True, False])
async def test_nothing_is_left_of_a_stream_that_is_over(
    engine: Engine, stream: StepStream, *, is_lost: bool
) -> None:
    """Neither its reader nor grpc's own task that waits for commands."""
    request = Request(stream, "a")
    talk = await engine.talk()
    await talk.has("a")
    names = ("_Conversation._read", "_StreamRequestMixin._consume_request_iterator")
    tasks = {task for task in asyncio.all_tasks() if str(task.get_coro()).split()[2] in names}
    assert len(tasks) == 2
    if is_lost:
        talk.end(RuntimeError("lost"))
        assert (await request.error()).reason == "ENGINE_LOST"
    await stream.close()
    assert request.task.done()
    assert (await request.error()).reason == "ENGINE_LOST"
    _, pending = await asyncio.wait(tasks, timeout=10)
    assert not pending


async def test_a_request_that_has_ended_leaves_no_timer(
    engine: Engine, stream: StepStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be kept for as long as it might have waited."""
    timers = recorded_timers(monkeypatch)
    request = Request(stream, "a", timeout_s=TIMEOUT_S)
    talk = await engine.talk()
    await talk.has("a")
    talk.say(("a", END))
    await request.task
    assert [timer.cancelled() for timer in timers] == [True]


async def test_an_end_that_comes_as_its_caller_leaves_is_no_complaint(
    engine: Engine, stream: StepStream
) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
    a = Request(stream, "a")
    b = Request(stream, "b", cancels=a)
    talk = await engine.talk()
    await talk.has("a", "b")
    talk.say(("a", EngineFault("no", reason="STEP_FAILED")), ("b", END))
    await asyncio.wait({a.task, b.task})
    assert a.task.cancelled()
    del a, b
    gc.collect()
    assert complaints == []


async def test_an_engine_that_is_not_there_is_lost() -> None:
    async with open_channel("127.0.0.1:1") as channel:
        stream = StepStream(channel, time.monotonic)
        error = await Request(stream, "a").error()
        assert isinstance(error, Unavailable)
        assert error.reason == "ENGINE_LOST"
        await stream.close()


async def test_a_request_that_is_too_large_is_refused_alone(
    engine: Engine, stream: StepStream
) -> None:
    """The engine would end the stream for it, and so everybody else's requests."""
    stream.max_message_bytes = 1000
    other = Request(stream, "a")
    error = await Request(stream, "b", num_prompt=2000).error()
    assert isinstance(error, InvalidRequest)
    assert (error.reason, "1000" in error.message) == ("REQUEST_TOO_LARGE", True)
    talk = await engine.talk()
    await talk.has("a")
    talk.say(("a", END))
    assert await other.error() is None


async def test_no_message_is_larger_than_the_engine_takes(
    engine: Engine, stream: StepStream
) -> None:
    stream.max_message_bytes = 1000
    names = [f"r{number}" for number in range(20)]
    requests = [Request(stream, name, num_prompt=400) for name in names]
    talk = await engine.talk()
    await talk.has(*names)
    assert max(message.ByteSize() for message in talk.messages) <= 1000
    assert len(talk.messages) >= 10
    assert list(talk.names) == names
    talk.say(*((name, END) for name in names))
    await asyncio.gather(*(request.task for request in requests))


async def test_an_engine_that_reads_no_commands_is_lost(
    engine: Engine, stream: StepStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it does not read is bounded; its requests go on elsewhere, and later ones anew."""
    monkeypatch.setattr(step_stream, "MAX_WAITING_BYTES", 2000)
    lost = [Request(stream, f"r{number}", num_prompt=1500) for number in range(2)]
    errors = [await request.error() for request in lost]
    assert [error.reason for error in errors] == ["ENGINE_LOST", "ENGINE_LOST"]
    after = Request(stream, "a")
    await asyncio.to_thread(eventually, lambda: any("a" in talk.names for talk in engine.talks))
    engine.talks[-1].say(("a", END))
    assert await after.error() is None
