"""Many requests on one stream to the engine: what each is told, and what harms no other."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from opentelemetry.trace import INVALID_SPAN, NoOpTracer

from engine_svc import step_lanes
from engine_svc.core.messages import EngineInfo
from engine_svc.core.outputs import RequestOutput
from engine_svc.core.params import FinishReason, RequestId
from engine_svc.core.request_spec import RequestSpec
from engine_svc.service import EngineService, ServedModel
from steeple.common.v1 import finish_reason_pb2
from steeple.engine.v1 import engine_service_pb2_grpc, generate_pb2, step_stream_pb2
from steeple_rpc import status
from steeple_rpc.channel import open_paced_channel
from steeple_rpc.errors import (
    DeadlineExpired,
    EngineFault,
    InvalidRequest,
    Overloaded,
    Unavailable,
)
from steeple_rpc.observing import Metadata, RpcEnd
from steeple_rpc.outbox import Outbox
from steeple_rpc.seen_call import SeenCall
from steeple_rpc.tracing import RpcTrace, current_trace
from tests.support.engine_infos import engine_info
from tests.support.servers import Serving, failure, serving
from tests.support.timers import recorded_timers
from tests.support.waiting import eventually

# The stubs' streams are generic in their stubs only.
Call = Any
Updates = list[step_stream_pb2.RequestUpdate]


@dataclass
class Front:
    """Keeps what is submitted; the test plays the core."""

    info: EngineInfo = field(default_factory=engine_info)
    outboxes: dict[str, Outbox[RequestOutput]] = field(default_factory=dict)
    specs: dict[str, RequestSpec] = field(default_factory=dict)
    released: list[str] = field(default_factory=list)
    refusal: Exception | None = None

    def drain(self) -> None:
        self.refusal = Unavailable("the engine is draining", reason="DRAINING")

    def submit(self, spec: RequestSpec, wake: Callable[[], None]) -> Outbox[RequestOutput]:
        if self.refusal is not None:
            raise self.refusal
        outbox = Outbox[RequestOutput](time.monotonic, wake=wake)
        self.outboxes[spec.request_id], self.specs[spec.request_id] = outbox, spec
        return outbox

    def release(self, request_id: str) -> None:
        self.released.append(request_id)

    def tell(self, name: str, *token_ids: int, ends: bool = False, size_bytes: int = 1) -> None:
        """The core computed this."""
        reason = FinishReason.EOS if ends else None
        output = RequestOutput(
            request_id=RequestId(name), token_ids=token_ids, finish_reason=reason
        )
        self.outboxes[name].put(output, size_bytes)
        if ends:
            self.outboxes[name].close()


class Observer:
    """Remembers how each call ended, and whose it was."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, dict[str, str | bytes]]] = []
        self.ended: list[tuple[str, str]] = []

    def begin(self, method: str, metadata: Metadata) -> RpcEnd:
        self.begun.append((method, dict(metadata)))

        def end(code: grpc.StatusCode, reason: str) -> None:
            self.ended.append((code.name, reason))

        return end


class Engine:
    """An engine service whose core is the test."""

    def __init__(self) -> None:
        self.front = Front()
        self.observer = Observer()
        served = ServedModel(
            name="demo", default_max_tokens=10, max_num_waiting=4, max_message_bytes=99
        )
        self.service = EngineService(
            self.front,  # type: ignore[arg-type] # plays a front
            served,
            lambda: None,
            [self.observer],
        )

    def add_to(self, server: grpc.aio.Server) -> None:
        engine_service_pb2_grpc.add_EngineServiceServicer_to_server(self.service, server)

    async def has(self, *names: str) -> None:
        """Return once these requests have come."""
        await asyncio.to_thread(eventually, lambda: set(names) <= set(self.front.outboxes))


@pytest.fixture
async def engine() -> Engine:
    return Engine()


@pytest.fixture
async def served(engine: Engine) -> AsyncIterator[Serving]:
    async with serving(engine.add_to) as served:
        yield served


@asynccontextmanager
async def opened(address: str) -> AsyncIterator[Call]:
    async with open_paced_channel(address) as channel:
        stub: Any = engine_service_pb2_grpc.EngineServiceStub(channel)
        call = stub.StepStream()
        await call.initial_metadata()
        try:
            yield call
        finally:
            call.cancel()


@pytest.fixture
async def call(served: Serving) -> AsyncIterator[Call]:
    async with opened(served.address) as call:
        yield call


def submit(number: int, name: str, **given: Any) -> step_stream_pb2.RequestCommand:
    request = generate_pb2.GenerateRequest(request_id=name, model="demo", prompt_token_ids=[1])
    request.sampling.temperature = 0.0
    return step_stream_pb2.RequestCommand(
        number=number, submit=step_stream_pb2.SubmitRequest(request=request, **given)
    )


def leave(number: int) -> step_stream_pb2.RequestCommand:
    return step_stream_pb2.RequestCommand(number=number, leave=step_stream_pb2.LeaveRequest())


async def send(call: Call, *commands: step_stream_pb2.RequestCommand) -> None:
    await call.write(step_stream_pb2.StepStreamRequest(commands=commands))


async def heard(call: Call) -> Updates:
    """The next message."""
    async with asyncio.timeout(10):
        message = await call.read()
    assert message is not grpc.aio.EOF
    return list(message.updates)


def ids(update: step_stream_pb2.RequestUpdate) -> list[int]:
    return list(update.response.delta.token_ids)


async def test_what_a_step_computed_for_all_is_one_message(engine: Engine, call: Call) -> None:
    await send(call, submit(1, "a"), submit(2, "b"))
    await engine.has("a", "b")
    engine.front.tell("a", 5)
    engine.front.tell("b", 6)
    engine.front.tell("a", 7)
    first, second = await heard(call)
    assert [(first.number, ids(first)), (second.number, ids(second))] == [(1, [5, 7]), (2, [6])]
    # Its number names it.
    assert first.response.request_id == ""


async def test_an_end_is_told_once_and_gives_the_request_back(engine: Engine, call: Call) -> None:
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


async def test_who_is_refused_is_told_alone(engine: Engine, call: Call) -> None:
    bad = submit(2, "b")
    bad.submit.request.model = "another"
    await send(call, submit(1, "a"), bad)
    (update,) = await heard(call)
    assert update.number == 2
    assert status.from_proto(update.error).field == "model"
    engine.front.tell("a", 5)
    assert [ids(update) for update in await heard(call)] == [[5]]
    assert engine.front.released == []


async def test_a_fault_of_one_request_comes_behind_its_tokens(engine: Engine, call: Call) -> None:
    await send(call, submit(1, "a"))
    await engine.has("a")
    engine.front.tell("a", 5)
    engine.front.outboxes["a"].close(EngineFault("no", reason="STEP_FAILED"))
    (update,) = await heard(call)
    assert ids(update) == [5]
    assert status.from_proto(update.error).reason == "STEP_FAILED"


async def test_who_leaves_is_given_back_and_told_nothing_more(engine: Engine, call: Call) -> None:
    await send(call, submit(1, "a"), submit(2, "b"))
    await engine.has("a", "b")
    await send(call, leave(1))
    await asyncio.to_thread(eventually, lambda: engine.front.released == ["a"])
    engine.front.tell("a", 5)
    engine.front.tell("b", 6)
    assert [update.number for update in await heard(call)] == [2]


async def test_a_gateway_that_is_gone_leaves_with_all(engine: Engine, served: Serving) -> None:
    async with opened(served.address) as call:
        await send(call, submit(1, "a"), submit(2, "b"))
        await engine.has("a", "b")
    await asyncio.to_thread(eventually, lambda: sorted(engine.front.released) == ["a", "b"])


async def test_a_gateway_that_will_send_no_more_leaves_with_all(engine: Engine, call: Call) -> None:
    await send(call, submit(1, "a"))
    await engine.has("a")
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert engine.front.released == ["a"]


async def test_a_deadline_is_kept(engine: Engine, call: Call) -> None:
    """And the core knows of it: it computes nothing for one who waited too long."""
    await send(call, submit(1, "a", timeout_ns=50_000_000), submit(2, "b"))
    (update,) = await heard(call)
    assert update.number == 1
    assert isinstance(status.from_proto(update.error), DeadlineExpired)
    assert engine.front.released == ["a"]
    assert engine.front.specs["a"].timeout_s == pytest.approx(0.05)
    assert engine.front.specs["b"].timeout_s is None


async def test_one_whose_ids_nobody_takes_ends_alone(engine: Engine, call: Call) -> None:
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
    engine: Engine, served: Serving, call: Call
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
    engine: Engine, call: Call, monkeypatch: pytest.MonkeyPatch
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
    engine: Engine, call: Call, commands: list[step_stream_pb2.RequestCommand], field: str
) -> None:
    await send(call, *commands)
    error = await failure(call.read())
    assert isinstance(error, InvalidRequest)
    assert error.field == field
    assert engine.front.released == list(engine.front.outboxes)


async def test_a_drain_lets_live_requests_end_and_then_the_stream(
    engine: Engine, call: Call
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


async def test_a_stream_that_comes_in_a_drain_ends_at_once(engine: Engine, served: Serving) -> None:
    engine.service.drain()
    async with opened(served.address) as call:
        assert await call.read() is grpc.aio.EOF


async def test_each_request_is_seen_as_a_call_of_its_own(
    engine: Engine, served: Serving, call: Call
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
    engine: Engine, served: Serving, call: Call
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


def refused(number: int, num_bytes: int = 0) -> step_lanes.Submit:
    def refuse(*_: object) -> Any:
        raise Overloaded("full", reason="QUEUE_FULL")

    return step_lanes.Submit(
        number=number, begin=refuse, num_bytes=num_bytes, timeout_s=None, metadata=()
    )


@pytest.fixture
async def lanes() -> step_lanes.StepLanes:
    def see(method: str, metadata: Metadata) -> Any:
        return SeenCall(method, metadata, []), current_trace()

    return step_lanes.StepLanes(lambda _: None, see)


async def test_a_gateway_that_does_not_read_cannot_make_the_engine_keep_ever_more(
    lanes: step_lanes.StepLanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No command is done while many ends wait to be told, however many came in one message."""
    monkeypatch.setattr(step_lanes, "MAX_UNTOLD", 2)
    taking = asyncio.ensure_future(lanes.take(refused(number) for number in (1, 2, 3)))
    await _turns()
    assert lanes.num_requests == 2
    messages = lanes.messages()
    assert len(await anext(messages)) == 2
    await taking
    assert lanes.num_requests == 1
    await messages.aclose()


@pytest.mark.parametrize(
    ("num_requests", "num_bytes"), [(10, step_lanes.MAX_TURN_BYTES), (1000, 0)]
)
async def test_others_are_told_while_many_requests_begin(
    lanes: step_lanes.StepLanes, num_requests: int, num_bytes: int
) -> None:
    """Long prompts, or very many, may come in one message."""
    submits = (refused(number, num_bytes) for number in range(num_requests))
    taking = asyncio.ensure_future(lanes.take(submits))
    messages = lanes.messages()
    assert len(await anext(messages)) < num_requests
    await taking
    await messages.aclose()


@pytest.mark.parametrize("leaves", [True, False])
async def test_a_request_that_has_ended_leaves_no_timer(
    engine: Engine, call: Call, monkeypatch: pytest.MonkeyPatch, *, leaves: bool
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


async def test_who_leaves_before_he_is_told_is_told_nothing(
    lanes: step_lanes.StepLanes,
) -> None:
    await lanes.take([refused(1), refused(2), step_lanes.Leave(number=1)])
    messages = lanes.messages()
    assert [news.number for news in await anext(messages)] == [2]
    await messages.aclose()


async def test_a_trace_gets_the_phases_of_a_request_that_has_ended() -> None:
    """As the core measured them."""
    phases: list[tuple[str, float]] = []

    class Trace(RpcTrace):
        def phases(self, *given: tuple[str, float]) -> None:
            phases.extend(given)

    def see(method: str, metadata: Metadata) -> Any:
        return SeenCall(method, metadata, []), Trace(NoOpTracer(), INVALID_SPAN)

    outbox: Outbox[RequestOutput]

    def begin(wake: Callable[[], None]) -> Any:
        nonlocal outbox
        outbox = Outbox[RequestOutput](time.monotonic, wake=wake)
        return None, outbox

    lanes = step_lanes.StepLanes(lambda _: None, see)
    submit = step_lanes.Submit(number=1, begin=begin, num_bytes=0, timeout_s=None, metadata=())
    await lanes.take([submit])
    core_id = RequestId("1")
    outbox.put(RequestOutput(request_id=core_id, is_first=True, queue_s=1.0), 1)
    ended = RequestOutput(
        request_id=core_id, finish_reason=FinishReason.EOS, prefill_s=2.0, decode_s=3.0
    )
    outbox.put(ended, 1)
    messages = lanes.messages()
    await anext(messages)
    await messages.aclose()
    assert phases == [("queue", 1.0), ("prefill", 2.0), ("decode", 3.0)]


async def test_long_prompts_of_one_message_are_checked_in_turns(engine: Engine, call: Call) -> None:
    submits = [submit(number, f"r{number}") for number in range(1, 11)]
    for command in submits:
        command.submit.request.prompt_token_ids.extend([1] * step_lanes.MAX_TURN_BYTES)
    await send(call, *submits)
    assert len(await heard(call)) < len(submits)


async def test_what_comes_together_begins_together(lanes: step_lanes.StepLanes) -> None:
    """As far as it takes no time: the core's first step has them all."""
    taking = asyncio.ensure_future(lanes.take(refused(number) for number in range(16)))
    messages = lanes.messages()
    assert len(await anext(messages)) == 16
    await taking
    await messages.aclose()


async def _turns() -> None:
    """Everything that can happen without anybody's help happens."""
    for _ in range(100):
        await asyncio.sleep(0)
