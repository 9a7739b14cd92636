"""What a scrape tells of the core's steps."""

import ast
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from engine_svc.core.messages import StepOutputs
from engine_svc.core.outputs import FAULT_REASONS, RequestOutput, RowFault, SchedulerLoad
from engine_svc.core.params import RequestId
from engine_svc.metrics import EngineMetrics
from tests.support.deployment import ROOT
from tests.support.scraping import read

BLOCKS = "steeple_engine_kv_blocks"


def load(**changed: int) -> SchedulerLoad:
    given = {
        "num_running": 2,
        "num_waiting": 1,
        "num_waiting_tokens": 40,
        "num_free_blocks": 5,
        "num_used_blocks": 3,
        "num_cached_blocks": 2,
        "num_total_blocks": 10,
        "num_preemptions": 1,
        "num_prompt_tokens": 100,
        "num_cached_prompt_tokens": 30,
    }
    return SchedulerLoad(**{**given, **changed})


def step(*outputs: RequestOutput, **changed: Any) -> StepOutputs:
    given: dict[str, Any] = {
        "num_steps": 7,
        "num_output_tokens": 20,
        "num_obeyed": 3,
        "is_idle": False,
        "step_s": 0.02,
    }
    return StepOutputs(outputs=outputs, load=load(), **{**given, **changed})


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_before_the_first_step_everything_is_zero(registry: CollectorRegistry) -> None:
    EngineMetrics(registry)
    told = read(registry)
    assert told.value("steeple_engine_requests_running") == 0
    assert told.value("steeple_engine_output_tokens_total") == 0


def test_faults_are_counted_from_0_on(registry: CollectorRegistry) -> None:
    """By every reason: else a rate would miss the first one."""
    EngineMetrics(registry)
    told = read(registry)
    labels = told.labels("steeple_engine_faults_total")
    assert {label["reason"] for label in labels} == FAULT_REASONS
    assert told.value("steeple_engine_faults_total") == 0


def test_every_fault_that_the_core_can_name_is_known() -> None:
    """As its source says it, reason by reason."""
    calls = (
        node
        for file in (ROOT / "engine_svc").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    )
    reasons = {
        ast.unparse(keyword.value).strip("'")
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "RowFault"
        for keyword in call.keywords
        if keyword.arg == "reason"
    }
    assert reasons == FAULT_REASONS


def test_the_last_step_is_told_whole(registry: CollectorRegistry) -> None:
    metrics = EngineMetrics(registry)
    metrics.stepped(step(num_output_tokens=17))
    metrics.stepped(step())
    told = read(registry)
    assert told.value("steeple_engine_requests_running") == 2
    assert told.value("steeple_engine_requests_waiting") == 1
    assert told.value("steeple_engine_waiting_tokens") == 40
    assert told.value(BLOCKS) == told.value("steeple_engine_kv_blocks_capacity") == 10
    assert told.value(BLOCKS, state="cached") == 2
    assert told.value("steeple_engine_steps_total") == 7
    assert told.value("steeple_engine_preemptions_total") == 1
    assert told.value("steeple_engine_prompt_tokens_total") == 100
    assert told.value("steeple_engine_cached_prompt_tokens_total") == 30
    assert told.value("steeple_engine_step_duration_seconds_sum") == pytest.approx(0.04)
    assert told.value("steeple_engine_step_output_tokens_sum") == 20


def test_a_message_without_a_step_counts_as_none(registry: CollectorRegistry) -> None:
    EngineMetrics(registry).stepped(step(step_s=0.0))
    assert read(registry).value("steeple_engine_step_duration_seconds_count") == 0


def test_starts_and_faults_are_counted(registry: CollectorRegistry) -> None:
    fault = RowFault(reason="NON_FINITE_LOGITS", message="m")
    EngineMetrics(registry).stepped(
        step(
            RequestOutput(request_id=RequestId("1"), is_first=True, queue_s=0.5),
            RequestOutput(request_id=RequestId("2"), fault=fault),
        )
    )
    told = read(registry)
    assert told.value("steeple_engine_queue_seconds_count") == 1
    assert told.value("steeple_engine_queue_seconds_sum") == 0.5
    assert told.value("steeple_engine_faults_total", reason="NON_FINITE_LOGITS") == 1


def test_counters_go_on_when_the_core_is_replaced(registry: CollectorRegistry) -> None:
    metrics = EngineMetrics(registry)
    metrics.stepped(step())
    metrics.core_lost()
    told = read(registry)
    assert told.value("steeple_engine_core_losses_total") == 1
    assert told.value("steeple_engine_output_tokens_total") == 20
    assert told.value("steeple_engine_requests_running") == told.value(BLOCKS) == 0
    metrics.stepped(step(num_output_tokens=3, num_steps=1))
    told = read(registry)
    assert told.value("steeple_engine_output_tokens_total") == 23
    assert told.value("steeple_engine_steps_total") == 8


def test_silence_is_asked_for_at_each_scrape(registry: CollectorRegistry) -> None:
    silence = iter([1.0, 2.0])
    EngineMetrics(registry).follow_progress(lambda: next(silence))
    told = [read(registry).value("steeple_engine_seconds_since_last_step") for _ in range(2)]
    assert told == [1.0, 2.0]
