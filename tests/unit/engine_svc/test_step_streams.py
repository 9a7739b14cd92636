"""Many requests on one stream to the engine: what each is told, and what harms no other."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from engine_svc import step_lanes
from steeple.common.v1 import finish_reason_pb2
from steeple.engine.v1 import step_stream_pb2
from steeple_rpc import status
from steeple_rpc.errors import (
    DeadlineExpired,
    EngineFault,
    InvalidRequest,
    Overloaded,
)
from tests.support.servers import Serving, failure, serving
from tests.support.step_engine import Call, PlayedEngine, heard, ids, leave, opened, send, submit
from tests.support.timers import recorded_timers
from tests.support.waiting import eventually


@pytest.fixture
async def engine() -> PlayedEngine:
    return PlayedEngine()


@pytest.fixture
async def served(engine: PlayedEngine) -> AsyncIterator[Serving]:
    async with serving(engine.add_to) as served:
        yield served


@pytest.fixture
async def call(served: Serving) -> AsyncIterator[Call]:
    async with opened(served.address) as call:
        yield call


async def test_what_a_step_computed_for_all_is_one_message(
    engine: PlayedEngine, call: Call
) -> None:
    await send(call, submit(1, "a"), submit(2, "b"))
    await engine.has("a", "b")
    engine.front.tell("a", 5)
    engine.front.tell("b", 6)
    engine.front.tell("a", 7)
    first, second = await heard(call)
    assert [(first.number, ids(first)), (second.number, ids(second))] == [(1, [5, 7]), (2, [6])]
    # Its number names it.
    assert first.response.request_id == ""


async def test_an_end_is_told_once_and_gives_the_request_back(
    engine: PlayedEngine, call: Call
) -> None:
    await send(call, submit(1, "a"))
    await engine.has("a")
    engine.front.tell("a", 5, ends=True)
    (update,) = await heard(call)
    assert update.response.finished.finish_reason == finish_reason_pb2.FINISH_REASON_EOS
    assert not update.HasField("error")
    assert engine.front.released == ["a"]
    await send(call, leave(1), leave(99), submit(2, "b"))
    await engine.has("b")
    assert engine.front.released == ["a"]


async def test_who_is_refused_is_told_alone(engine: PlayedEngine, call: Call) -> None:
    bad = submit(2, "b")
    bad.submit.request.model = "another"
    await send(call, submit(1, "a"), bad)
    (update,) = await heard(call)
    assert update.number == 2
    assert status.from_proto(update.error).field == "model"
    engine.front.tell("a", 5)
    assert [ids(update) for update in await heard(call)] == [[5]]
    assert engine.front.released == []


async def test_a_fault_of_one_request_comes_behind_its_tokens(
    engine: PlayedEngine, call: Call
) -> None:
    await send(call, submit(1, "a"))
    await engine.has("a")
    engine.front.tell("a", 5)
    engine.front.outboxes["a"].close(EngineFault("no", reason="STEP_FAILED"))
    (update,) = await heard(call)
    assert ids(update) == [5]
    assert status.from_proto(update.error).reason == "STEP_FAILED"


async def test_who_leaves_is_given_back_and_told_nothing_more(
    engine: PlayedEngine, call: Call
) -> None:
    await send(call, submit(1, "a"), submit(2, "b"))
    await engine.has("a", "b")
    await send(call, leave(1))
    await asyncio.to_thread(eventually, lambda: engine.front.released == ["a"])
    engine.front.tell("a", 5)
    engine.front.tell("b", 6)
    assert [update.number for update in await heard(call)] == [2]


async def test_a_gateway_that_is_gone_leaves_with_all(
    engine: PlayedEngine, served: Serving
) -> None:
    async with opened(served.address) as call:
        await send(call, submit(1, "a"), submit(2, "b"))
        await engine.has("a", "b")
    await asyncio.to_thread(eventually, lambda: sorted(engine.front.released) == ["a", "b"])
    # A gateway that comes and goes leaves nothing behind.
    streams = engine.service._streams
    await asyncio.to_thread(eventually, lambda: not streams._open)


async def test_a_gateway_that_will_send_no_more_leaves_with_all(
    engine: PlayedEngine, call: Call
) -> None:
    await send(call, submit(1, "a"))
    await engine.has("a")
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert engine.front.released == ["a"]


async def test_a_deadline_is_kept(engine: PlayedEngine, call: Call) -> None:
    """And the core knows of it: it computes nothing for one who waited too long."""
    await send(call, submit(1, "a", timeout_ns=50_000_000), submit(2, "b"))
    (update,) = await heard(call)
    assert update.number == 1
    assert isinstance(status.from_proto(update.error), DeadlineExpired)
    assert engine.front.released == ["a"]
    assert engine.front.specs["a"].timeout_s == pytest.approx(0.05)
    assert engine.front.specs["b"].timeout_s is None


async def test_one_whose_ids_nobody_takes_ends_alone(engine: PlayedEngine, call: Call) -> None:
    await send(call, submit(1, "a"), submit(2, "b"))
    await engine.has("a", "b")
    engine.front.tell("a", 5, size_bytes=2 << 20)
    engine.front.tell("b", 6)
    first, second = await heard(call)
    error = status.from_proto(first.error)
    assert isinstance(error, Overloaded)
    assert error.reason == "CLIENT_TOO_SLOW"
    assert ids(second) == [6]


async def test_a_gateway_that_does_not_read_harms_no_other(
    engine: PlayedEngine, served: Serving, call: Call
) -> None:
    """What waits for it is bounded, though its stream waits in a write; it hears so later."""
    async with opened(served.address) as stuck:
        await send(stuck, submit(1, "a"))
        await send(call, submit(1, "b"))
        await engine.has("a", "b")
        # More than the library takes ahead of its reader.
        engine.front.tell("a", *[5] * (1 << 20))
        await asyncio.to_thread(eventually, lambda: engine.front.outboxes["a"].num_bytes == 0)
        engine.front.tell("a", 6, size_bytes=2 << 20)
        assert engine.front.outboxes["a"].is_closed
        engine.front.tell("b", 7, ends=True)
        assert [ids(update) for update in await heard(call)] == [[7]]
        assert engine.front.released == ["b"]
        assert len(ids((await heard(stuck))[0])) == 1 << 20
        (update,) = await heard(stuck)
        assert status.from_proto(update.error).reason == "CLIENT_TOO_SLOW"
        assert engine.front.released == ["b", "a"]


async def test_what_is_too_much_for_a_message_comes_with_the_next(
    engine: PlayedEngine, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_lanes, "MAX_MESSAGE_BYTES", 100)
    await send(call, submit(1, "a"), submit(2, "b"), submit(3, "c"))
    await engine.has("a", "b", "c")
    for name in "abc":
        engine.front.tell(name, 5, size_bytes=60)
    assert [update.number for update in await heard(call)] == [1, 2]
    assert [update.number for update in await heard(call)] == [3]


@pytest.mark.parametrize(
    ("commands", "field"),
    [
        ([submit(1, "a"), submit(1, "b")], "commands.number"),
        ([step_stream_pb2.RequestCommand(number=1)], "commands"),
    ],
)
async def test_commands_that_make_no_sense_end_the_stream(
    engine: PlayedEngine, call: Call, commands: list[step_stream_pb2.RequestCommand], field: str
) -> None:
    await send(call, *commands)
    error = await failure(call.read())
    assert isinstance(error, InvalidRequest)
    assert error.field == field
    assert engine.front.released == list(engine.front.outboxes)


async def test_a_drain_lets_live_requests_end_and_then_the_stream(
    engine: PlayedEngine, call: Call
) -> None:
    await send(call, submit(1, "a"))
    await engine.has("a")
    engine.service.drain()
    await send(call, submit(2, "b"))
    (update,) = await heard(call)
    assert (update.number, status.from_proto(update.error).reason) == (2, "DRAINING")
    engine.front.tell("a", 5, ends=True)
    assert [ids(update) for update in await heard(call)] == [[5]]
    assert await call.read() is grpc.aio.EOF


async def test_a_stream_that_comes_in_a_drain_ends_at_once(
    engine: PlayedEngine, served: Serving
) -> None:
    engine.service.drain()
    async with opened(served.address) as call:
        assert await call.read() is grpc.aio.EOF


async def test_each_request_is_seen_as_a_call_of_its_own(
    engine: PlayedEngine, served: Serving, call: Call
) -> None:
    """By metrics, traces and the log, under its caller's name."""
    metadata = {"x-request-id": "mine", "traceparent": "t"}
    await send(call, submit(1, "a", metadata=metadata), submit(2, "b"))
    await engine.has("a", "b")
    assert engine.observer.begun[0] == (step_lanes.METHOD, metadata)
    engine.front.tell("a", 5, ends=True)
    await heard(call)
    await send(call, leave(2))
    await asyncio.to_thread(eventually, lambda: len(engine.observer.ended) == 2)
    engine.front.refusal = Overloaded("full", reason="QUEUE_FULL")
    await send(call, submit(3, "c"))
    await heard(call)
    assert engine.observer.ended == [
        ("OK", ""),
        ("CANCELLED", ""),
        ("RESOURCE_EXHAUSTED", "QUEUE_FULL"),
    ]
    lines = [line for line in served.logs if line["event"] == "rpc_finished"]
    assert (lines[0]["request_id"], lines[0]["method"]) == ("mine", step_lanes.METHOD)


async def test_a_fault_of_ours_in_beginning_one_harms_no_other(
    engine: PlayedEngine, served: Serving, call: Call
) -> None:
    """As at the border: the log has the story, its caller a number to ask for."""
    await send(call, submit(1, "a"))
    await engine.has("a")
    engine.front.refusal = RuntimeError("secret")
    await send(call, submit(2, "b"))
    (update,) = await heard(call)
    fault = status.from_proto(update.error)
    assert update.number == 2
    assert isinstance(fault, EngineFault)
    assert "secret" not in fault.message
    (line,) = (line for line in served.logs if line["event"] == "handler_failed")
    assert line["fault"] in fault.message
    engine.front.tell("a", 5, ends=True)
    assert [ids(update) for update in await heard(call)] == [[5]]


@pytest.mark.parametrize("leaves", [True, False])
async def test_a_request_that_has_ended_leaves_no_timer(
    engine: PlayedEngine, call: Call, monkeypatch: pytest.MonkeyPatch, *, leaves: bool
) -> None:
    """It would be kept, with its prompt, for as long as it might have waited."""
    timers = recorded_timers(monkeypatch)
    await send(call, submit(1, "a", timeout_ns=3600 * 10**9))
    await engine.has("a")
    if leaves:
        await send(call, leave(1))
    else:
        engine.front.tell("a", 5, ends=True)
    await asyncio.to_thread(eventually, lambda: engine.front.released == ["a"])
    assert [timer.cancelled() for timer in timers] == [True]


async def test_long_prompts_of_one_message_are_checked_in_turns(
    engine: PlayedEngine, call: Call
) -> None:
    submits = [submit(number, f"r{number}") for number in range(1, 11)]
    for command in submits:
        command.submit.request.prompt_token_ids.extend([1] * step_lanes.MAX_TURN_BYTES)
    await send(call, *submits)
    assert len(await heard(call)) < len(submits)
