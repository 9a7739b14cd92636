"""What a scrape tells of requests that went through the pipeline; everything behind it scripted."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from gateway.admission import Admission
from gateway.metrics import GatewayMetrics
from gateway.outcomes import ENDS, INCOMPLETE, REFUSALS
from gateway.pipeline import Pipeline
from gateway.request_limits import RequestLimits
from gateway.request_story import RequestStory
from gateway.takeover import LOSSES
from gateway.values import TextDelta
from steeple_rpc.errors import EngineFault, NotFound, Overloaded
from tests.support.deployment import ROOT
from tests.support.gateway_fakes import (
    MODEL,
    FakeBackends,
    FakeEngine,
    FakeUpstream,
    catalog_of,
    ended,
    engine_state,
    first,
    generation_request,
    tokens,
)
from tests.support.scraping import Scrape, read

REQUESTS = "steeple_gateway_requests_total"
TTFT = "steeple_gateway_time_to_first_token_seconds"
ITL = "steeple_gateway_inter_token_latency_seconds"


class Harness:
    """A watched pipeline over one scripted engine; its clock moves when the test says so."""

    def __init__(self, *updates: Any, **engine: Any) -> None:
        self.now = 100.0
        self.engine = FakeEngine(updates, **engine)
        self.registry = CollectorRegistry()
        self.metrics = GatewayMetrics(self.registry)
        self.pipeline = Pipeline(
            FakeBackends(catalog_of(engine_state()), [FakeUpstream(self.engine)]),  # type: ignore[arg-type] # a fake
            Admission(),
            lambda: self.now,
            RequestLimits(max_request_s=60),
            watch=self.metrics,
        )

    async def run(self, **request: Any) -> None:
        async with aclosing(self.pipeline.run(generation_request(**request), None)) as events:
            async for _ in events:
                pass

    @property
    def told(self) -> Scrape:
        return read(self.registry)


async def test_a_request_that_ended_well_is_counted_with_its_tokens_and_times() -> None:
    harness = Harness(
        first(num_cached_prompt_tokens=2, queue_ns=3_000_000_000),
        ended(0, 11, 12, 13, prefill_ns=4_000_000_000, decode_ns=5_000_000_000),
    )
    await harness.run()
    told = harness.told
    assert told.value(REQUESTS, model=MODEL, outcome="MAX_TOKENS") == 1
    assert told.value("steeple_gateway_prompt_tokens_total", model=MODEL) == 3
    assert told.value("steeple_gateway_cached_prompt_tokens_total", model=MODEL) == 2
    assert told.value("steeple_gateway_completion_tokens_total", model=MODEL) == 3
    for phase, seconds in (("tokenize", 0), ("queue", 3), ("prefill", 4), ("decode", 5)):
        assert told.value("steeple_gateway_request_phase_seconds_sum", phase=phase) == seconds
    assert told.value(f"{TTFT}_count", model=MODEL) == 1
    assert told.value("steeple_gateway_permits_in_use") == 0
    assert told.value("steeple_gateway_permits_limit", model=MODEL) == 4


def test_each_token_after_the_first_delta_has_a_latency() -> None:
    """A delta of four tokens, 0.2 s after the last one: four times 0.05 s."""
    now = 10.0
    registry = CollectorRegistry()
    story = RequestStory(generation_request(), lambda: now, GatewayMetrics(registry))
    with story.admitted(MODEL, 4):
        now += 1.5
        story.note(TextDelta(text="a", num_completion_tokens=2))
        now += 0.2
        story.note(TextDelta(text="b", num_completion_tokens=6))
        now += 9.0
        story.note(TextDelta(text="no new token", num_completion_tokens=6))
        now += 1.0
        story.note(TextDelta(text="c", num_completion_tokens=7))
    told = read(registry)
    assert told.value(f"{TTFT}_sum") == pytest.approx(1.5)
    assert told.value(f"{ITL}_count") == 5
    assert told.value(f"{ITL}_sum") == pytest.approx(0.2 + 10.0)
    assert told.value(f"{ITL}_bucket", le="0.05") == 4
    assert told.value("steeple_gateway_completion_tokens_total") == 7


async def test_a_request_that_was_left_counts_what_it_got() -> None:
    harness = Harness(first(), tokens(0, 11, 12), hangs=True)
    reading = asyncio.create_task(harness.run())
    await harness.engine.entered.wait()
    assert harness.told.value("steeple_gateway_permits_in_use", model=MODEL) == 1
    reading.cancel()
    await asyncio.wait({reading})
    told = harness.told
    assert told.value(REQUESTS, model=MODEL, outcome="CANCELLED") == 1
    assert told.value("steeple_gateway_permits_in_use") == 0


async def test_requests_that_failed_are_counted_by_reason() -> None:
    harness = Harness(error=EngineFault("a fault", reason="STEP_FAILED"))
    with pytest.raises(EngineFault):
        await harness.run()
    with pytest.raises(NotFound):
        await harness.run(model="made up by a caller")
    told = harness.told
    assert told.value(REQUESTS, model=MODEL, outcome="STEP_FAILED") == 1
    assert told.value(REQUESTS, model="", outcome="MODEL_NOT_FOUND") == 1
    assert {labels["model"] for labels in told.labels(REQUESTS)} == {MODEL, ""}
    assert outcomes(harness.registry, model="") == REFUSALS


async def test_a_request_without_a_permit_is_counted_and_holds_none() -> None:
    harness = Harness(first(), hangs=True)
    running = [asyncio.create_task(harness.run(request_id=f"r{i}")) for i in range(4)]
    await harness.engine.entered.wait()
    with pytest.raises(Overloaded):
        await harness.run(request_id="one too many")
    told = harness.told
    assert told.value(REQUESTS, outcome="QUEUE_FULL") == 1
    assert told.value("steeple_gateway_permits_in_use", model=MODEL) == 4
    for task in running:
        task.cancel()
    await asyncio.wait(running)
    assert harness.told.value("steeple_gateway_permits_in_use") == 0


def test_takeovers_are_counted_from_0_on() -> None:
    """By every reason: else a rate would miss the first one."""
    registry = CollectorRegistry()
    GatewayMetrics(registry)
    labels = read(registry).labels("steeple_gateway_takeovers_total")
    assert {told["reason"] for told in labels} == LOSSES


def test_requests_are_counted_from_0_on_once_their_model_is_served() -> None:
    """By every end that is known, and refused ones from the start."""
    registry = CollectorRegistry()
    metrics = GatewayMetrics(registry)
    assert outcomes(registry, model="") == REFUSALS
    for _ in range(2):
        metrics.model_served(MODEL)
    assert outcomes(registry, model=MODEL) == ENDS
    told = read(registry)
    assert told.value(REQUESTS) == 0
    for kind in ("prompt", "cached_prompt", "completion"):
        assert told.labels(f"steeple_gateway_{kind}_tokens_total") == [{"model": MODEL}]


def outcomes(registry: CollectorRegistry, *, model: str) -> set[str]:
    return {told["outcome"] for told in read(registry).labels(REQUESTS) if told["model"] == model}


def test_known_outcomes_are_such_that_some_service_tells() -> None:
    """A series that never counts anything tells a lie about what can go wrong."""
    rooms = ("gateway", "engine_svc", "tokenizer_svc", "steeple_rpc")
    files = (file for room in rooms for file in (ROOT / room).rglob("*.py"))
    source = "".join(file.read_text() for file in files if file.name != "outcomes.py")
    assert {reason for reason in ENDS | REFUSALS if f'"{reason}"' not in source} <= {INCOMPLETE}


def test_takeovers_and_sessions_are_told() -> None:
    registry = CollectorRegistry()
    metrics = GatewayMetrics(registry)
    metrics.follow_sessions(lambda: 7)
    story = RequestStory(generation_request(), lambda: 0.0, metrics)
    story.taken_over("ENGINE_LOST")
    story.taken_over("ENGINE_LOST")
    told = read(registry)
    assert told.value("steeple_gateway_takeovers_total", reason="ENGINE_LOST") == 2
    assert told.value("steeple_gateway_detokenize_sessions") == 7
