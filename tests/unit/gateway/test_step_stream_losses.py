"""The gateway's one stream to an engine: how it is lost, and what is left of it then."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from gateway.clients import step_stream
from gateway.clients.step_stream import StepStream
from steeple_rpc.channel import open_channel
from steeple_rpc.errors import (
    InvalidRequest,
    Overloaded,
    ServiceError,
    Unavailable,
)
from tests.support.servers import Serving, serving
from tests.support.step_talks import END, Request, TalkingEngine
from tests.support.waiting import LIMIT_S, eventually


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


async def test_a_lost_engine_ends_all_and_the_next_request_opens_anew(
    engine: TalkingEngine, stream: StepStream
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
    engine: TalkingEngine, served: Serving, stream: StepStream, fault: ServiceError
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


async def test_a_gateway_that_read_too_slowly_does_not_blame_its_caller(
    engine: TalkingEngine, served: Serving, stream: StepStream
) -> None:
    """The request goes on elsewhere; the stream and its other requests stay."""
    slow, other = Request(stream, "a"), Request(stream, "b")
    talk = await engine.talk()
    await talk.has("a", "b")
    talk.say(("a", Overloaded("slow", reason="CLIENT_TOO_SLOW")), ("b", END))
    error = await slow.error()
    assert isinstance(error, Unavailable)
    assert error.reason == "ENGINE_LOST"
    assert await other.error() is None
    assert [line["event"] for line in served.logs].count("engine_read_too_slowly") == 1


async def test_an_engine_that_ends_its_stream_in_a_drain_says_so(
    engine: TalkingEngine, stream: StepStream
) -> None:
    """As at the end of its grace: requests are told why they go on elsewhere."""
    request = Request(stream, "a")
    talk = await engine.talk()
    await talk.has("a")
    talk.end(Unavailable("the service is ending", reason="DRAINING"))
    assert (await request.error()).reason == "DRAINING"


async def test_what_a_drain_lets_fall_goes_elsewhere(
    engine: TalkingEngine, stream: StepStream
) -> None:
    """The engine ended its stream well, while a request was on its way to it."""
    request = Request(stream, "a")
    talk = await engine.talk()
    await talk.has("a")
    talk.end()
    error = await request.error()
    assert isinstance(error, Unavailable)
    assert error.reason == "DRAINING"


async def test_a_stream_that_is_broken_off_is_lost(
    engine: TalkingEngine, stream: StepStream
) -> None:
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
    engine: TalkingEngine, stream: StepStream, *, is_lost: bool
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
    _, pending = await asyncio.wait(tasks, timeout=LIMIT_S)
    assert not pending


async def test_an_engine_that_is_not_there_is_lost() -> None:
    async with open_channel("127.0.0.1:1") as channel:
        stream = StepStream(channel, time.monotonic)
        error = await Request(stream, "a").error()
        assert isinstance(error, Unavailable)
        assert error.reason == "ENGINE_LOST"
        await stream.close()


async def test_an_engine_that_reads_no_commands_is_lost(
    engine: TalkingEngine, stream: StepStream, monkeypatch: pytest.MonkeyPatch
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
