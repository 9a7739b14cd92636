"""A request whose time is over ends with what it has, wherever it is, under every policy."""

from dataclasses import replace

import pytest

from engine_svc.core.params import FinishReason, RequestId
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core.scheduler.base import Scheduler
from engine_svc.core.scheduler.continuous import ContinuousScheduler
from engine_svc.core.scheduler.registry import SCHEDULERS
from tests.support.driving import distinct, drained, step_of
from tests.support.policies import four_seats
from tests.support.requests import answered, scheduler_config


@pytest.fixture(params=sorted(SCHEDULERS))
def scheduler(request: pytest.FixtureRequest) -> Scheduler:
    return four_seats(request.param)


def limited(name: str, prompt_len: int, max_tokens: int, limit_s: float) -> RequestSpec:
    spec = distinct(name, prompt_len, max_tokens)
    return replace(spec, stopping=replace(spec.stopping, time_limit_s=limit_s))


def assert_empties(scheduler: Scheduler) -> None:
    """Whoever is left runs to the end, and every block comes back."""
    drained(scheduler)
    assert scheduler.load().num_used_blocks == 0
    assert scheduler.snapshot().num_reserved_blocks == 0


def test_a_decoding_request_ends_with_the_step_that_passes_its_limit(scheduler: Scheduler) -> None:
    """The token of that step is still delivered."""
    scheduler.add_request(limited("a", 10, 50, 5.0), 1.0)
    step_of(scheduler, 2.0)
    step = scheduler.schedule(3.0)
    assert step is not None
    (output,) = scheduler.update_from_output(step, answered(step), 6.0)
    assert output.finish_reason is FinishReason.TIME_LIMIT
    assert (output.is_first, output.first_position, output.token_ids) == (False, 1, (1,))
    assert (output.prefill_s, output.decode_s) == (0.0, 4.0)
    assert scheduler.expire(7.0) == ()
    assert_empties(scheduler)


def test_a_running_request_ends_between_two_steps(scheduler: Scheduler) -> None:
    """At its limit, not before; who sits beside it goes on, and the runner hears of the end."""
    scheduler.add_request(limited("a", 10, 50, 5.0), 1.0)
    scheduler.add_request(distinct("b", 10, 50), 1.0)
    for _ in range(4):
        step_of(scheduler, 2.0)
    assert scheduler.expire(5.9) == ()
    (output,) = scheduler.expire(6.0)
    assert (output.request_id, output.finish_reason) == ("a", FinishReason.TIME_LIMIT)
    assert (output.is_first, output.token_ids, output.fault) == (False, (), None)
    assert output.first_position > 0
    assert scheduler.expire(7.0) == ()
    step = step_of(scheduler, 7.0)
    assert "a" in step.finished_request_ids
    assert [s.request_id for s in step.sequences] == ["b"]
    assert_empties(scheduler)


def test_a_request_that_waits_ends_as_if_it_had_just_started(scheduler: Scheduler) -> None:
    """Its first update is its last: an answer without tokens, and no fault."""
    for idx in range(9):  # long answers hold every seat
        scheduler.add_request(distinct(f"r{idx}", 100, 100), 0.0)
    step_of(scheduler, 0.0)
    scheduler.add_request(limited("late", 10, 5, 5.0), 1.0)
    num_waiting = scheduler.load().num_waiting
    (output,) = scheduler.expire(6.0)
    assert (output.request_id, output.finish_reason) == ("late", FinishReason.TIME_LIMIT)
    assert (output.is_first, output.queue_s, output.token_ids) == (True, 5.0, ())
    assert (output.prefill_s, output.decode_s) == (0.0, 0.0)
    assert scheduler.load().num_waiting == num_waiting - 1
    assert_empties(scheduler)


def test_whoever_ended_otherwise_is_told_no_second_end(scheduler: Scheduler) -> None:
    """Aborted, or done: the limit finds nobody."""
    scheduler.add_request(limited("aborted", 10, 50, 5.0), 0.0)
    scheduler.add_request(limited("done", 10, 1, 5.0), 0.0)
    while "done" in (scheduler.snapshot().running + scheduler.snapshot().waiting):
        step_of(scheduler, 1.0)
    scheduler.abort_requests(["aborted"])  # type: ignore[list-item] # a plain name will do
    assert scheduler.expire(99.0) == ()
    assert_empties(scheduler)


def test_a_deadline_and_a_limit_at_once_end_it_once(scheduler: Scheduler) -> None:
    """What there is counts for more than the failure."""
    spec = replace(limited("a", 10, 5, 3.0), timeout_s=3.0)
    scheduler.add_request(spec, 0.0)
    (output,) = scheduler.expire(3.0)
    assert output.finish_reason is FinishReason.TIME_LIMIT
    assert not scheduler.has_requests


@pytest.mark.parametrize("policy", ["continuous", "spyre_chunked"])
def test_a_long_prompt_ends_in_the_middle(policy: str) -> None:
    """At the close of a chunk; the first one also tells the start."""
    for num_chunks_before in (0, 1):
        scheduler = four_seats(policy)
        scheduler.add_request(limited("a", 200, 20, 5.0), 0.0)
        for _ in range(num_chunks_before):
            step_of(scheduler, 1.0)
        step = scheduler.schedule(2.0)
        assert step is not None
        assert step.sequences[0].sample is None
        (output,) = scheduler.update_from_output(step, answered(step), 5.0)
        assert output.finish_reason is FinishReason.TIME_LIMIT
        assert output.is_first is (num_chunks_before == 0)
        assert (output.token_ids, output.decode_s) == ((), 0.0)
        assert_empties(scheduler)


def test_a_preempted_request_ends_with_what_it_had() -> None:
    """It waits again, but it has started; the runner, who keeps things for it, hears of the end."""
    scheduler = ContinuousScheduler(scheduler_config())
    scheduler.add_request(limited("a", 3, 20, 5.0), 0.0)
    for _ in range(3):
        step_of(scheduler, 1.0)
    scheduler.preempt(RequestId("a"))
    (output,) = scheduler.expire(5.0)
    assert output.finish_reason is FinishReason.TIME_LIMIT
    assert (output.is_first, output.first_position, output.token_ids) == (False, 3, ())
    scheduler.add_request(distinct("b", 3, 1), 5.0)
    assert step_of(scheduler, 6.0).finished_request_ids == ("a",)
    assert_empties(scheduler)
