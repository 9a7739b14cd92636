"""The gateway's one stream to an engine: who shares it, and who is harmed by what."""

import asyncio
import gc
import time
import weakref
from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass

import pytest

from gateway.clients.step_stream import StepStream
from steeple.engine.v1 import generate_pb2, step_stream_pb2
from steeple_rpc.channel import open_channel
from steeple_rpc.errors import (
    DeadlineExpired,
    EngineFault,
    InvalidRequest,
    Overloaded,
)
from tests.support.servers import Serving, serving
from tests.support.step_talks import END, Request, TalkingEngine, token
from tests.support.timers import recorded_timers
from tests.support.waiting import eventually

TIMEOUT_S = 3600.0


@dataclass(eq=False)
class Somebody:
    """On whose behalf a task works."""

    name: str


WHO: ContextVar[Somebody] = ContextVar("who")


@pytest.fixture
async def engine() -> TalkingEngine:
    return TalkingEngine()  # type: ignore[abstract] # the other RPCs are not called


@pytest.fixture
async def served(engine: TalkingEngine) -> AsyncIterator[Serving]:
    async with serving(engine.add_to) as served:
        yield served


@pytest.fixture
async def stream(served: Serving) -> AsyncIterator[StepStream]:
    async with open_channel(served.address) as channel:
        stream = StepStream(channel, time.monotonic)
        yield stream
        await stream.close()


async def test_all_requests_share_one_call(engine: TalkingEngine, stream: StepStream) -> None:
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


async def test_what_the_engine_refuses_is_its_own_error(
    engine: TalkingEngine, stream: StepStream
) -> None:
    refused, other = Request(stream, "a"), Request(stream, "b")
    talk = await engine.talk()
    await talk.has("a", "b")
    given = Overloaded("full", reason="QUEUE_FULL", retry_after_s=1.0)
    talk.say(("a", given), ("b", END))
    assert vars(await refused.error()) == vars(given)
    assert await other.error() is None
    assert talk.left == []


async def test_who_has_enough_leaves(engine: TalkingEngine, stream: StepStream) -> None:
    request = Request(stream, "a", at_most=1)
    talk = await engine.talk()
    await talk.has("a")
    talk.say(("a", token(5)), ("a", token(5)))
    await request.task
    await asyncio.to_thread(eventually, lambda: talk.left == [talk.names["a"]])
    talk.say(("a", token(6)))
    assert await Request(stream, "b", timeout_s=0.1).error() is not None
    assert request.told == [5]


async def test_who_is_cancelled_leaves(engine: TalkingEngine, stream: StepStream) -> None:
    request = Request(stream, "a")
    talk = await engine.talk()
    await talk.has("a")
    request.task.cancel()
    await asyncio.to_thread(eventually, lambda: talk.left == [talk.names["a"]])


async def test_a_fault_in_taking_ends_that_request_alone(
    engine: TalkingEngine, stream: StepStream
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


async def test_a_deadline_is_kept(engine: TalkingEngine, stream: StepStream) -> None:
    """Whatever the engine does."""
    error = await Request(stream, "a", timeout_s=0.05).error()
    assert isinstance(error, DeadlineExpired)
    talk = await engine.talk()
    await talk.has("a")
    await asyncio.to_thread(eventually, lambda: talk.left == [talk.names["a"]])


async def test_what_a_request_takes_it_takes_as_itself(
    engine: TalkingEngine, stream: StepStream
) -> None:
    """Its log lines and spans have its own name, whoever opened the stream."""
    heard: list[tuple[str, str]] = []

    async def run(name: str) -> None:
        WHO.set(Somebody(name))
        submit = step_stream_pb2.SubmitRequest(
            request=generate_pb2.GenerateRequest(request_id=name)
        )

        def take(_: generate_pb2.GenerateResponse) -> bool:
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
    engine: TalkingEngine, stream: StepStream
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

    def is_forgotten() -> bool:
        # A thread of the loop's that helped with the waiting may have it until its next step.
        gc.collect()
        return left() is None

    await asyncio.to_thread(eventually, is_forgotten)
    engine.talks[0].say(("b", END))
    await other.task


async def test_a_request_that_has_ended_leaves_no_timer(
    engine: TalkingEngine, stream: StepStream, monkeypatch: pytest.MonkeyPatch
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
    engine: TalkingEngine, stream: StepStream
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


async def test_a_request_that_is_too_large_is_refused_alone(
    engine: TalkingEngine, stream: StepStream
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
    engine: TalkingEngine, stream: StepStream
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
