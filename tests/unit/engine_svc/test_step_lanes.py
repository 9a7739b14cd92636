"""The requests of one stream, without a wire: bounds, turns, timers and traces."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.trace import INVALID_SPAN, NoOpTracer

from engine_svc import step_lanes
from engine_svc.core.outputs import RequestOutput
from engine_svc.core.params import FinishReason, RequestId
from steeple_rpc.errors import (
    Overloaded,
)
from steeple_rpc.observing import Metadata
from steeple_rpc.outbox import Outbox
from steeple_rpc.seen_call import SeenCall
from steeple_rpc.tracing import RpcTrace, current_trace


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
