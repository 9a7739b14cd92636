"""What every registered policy promises, whatever batches it forms."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from engine_svc.core.outputs import RequestOutput, RowFault, RunnerOutput
from engine_svc.core.params import FinishReason, RequestId
from engine_svc.core.scheduler.base import Fits, Never, Scheduler
from engine_svc.core.scheduler.ledger import EXPIRED
from engine_svc.core.scheduler.registry import SCHEDULERS
from tests.support.driving import distinct, drained, step_of
from tests.support.policies import four_seats
from tests.support.requests import answered, request_spec

MakeScheduler = Callable[[], Scheduler]


@pytest.fixture(params=sorted(SCHEDULERS))
def make_scheduler(request: pytest.FixtureRequest) -> MakeScheduler:
    """Makes schedulers of one registered policy with four seats and a context of 256."""
    return lambda: four_seats(request.param)


def test_steps_count_up_from_one(make_scheduler: MakeScheduler) -> None:
    """Without gaps, over prompts and decodes."""
    scheduler = make_scheduler()
    for name in "abc":
        scheduler.add_request(distinct(name, 70, 5), 0.0)
    steps = [step.step for step in drained(scheduler)]
    assert steps == list(range(1, len(steps) + 1))


def test_its_steps_have_the_layouts_that_it_names(make_scheduler: MakeScheduler) -> None:
    """So that a runner can be refused before anything runs."""
    scheduler = make_scheduler()
    scheduler.add_request(distinct("a", 70, 5), 0.0)
    assert {type(step.layout) for step in drained(scheduler)} == scheduler.layouts


def outputs_of(scheduler: Scheduler, times: list[float]) -> list[RequestOutput]:
    """Outputs of a step at each of these times; a step takes half a second."""
    outputs: list[RequestOutput] = []
    for now in times:
        step = scheduler.schedule(now)
        assert step is not None
        outputs += scheduler.update_from_output(step, answered(step), now + 0.5)
    return outputs


def test_times_are_told_from_acceptance_on(make_scheduler: MakeScheduler) -> None:
    """Queue until the first step begins, prefill until the first token, decode until the last."""
    scheduler = make_scheduler()
    scheduler.add_request(distinct("a", 10, 3), 1.0)
    first, second, third = outputs_of(scheduler, [3.0, 5.0, 9.0])
    assert (first.is_first, first.queue_s, first.first_position) == (True, 2.0, 0)
    assert (second.is_first, second.first_position, second.token_ids) == (False, 1, (1,))
    assert (third.finish_reason, third.prefill_s, third.decode_s) == (
        FinishReason.MAX_TOKENS,
        0.5,
        6.0,
    )
    assert first.num_cached_tokens == 0


def test_whoever_waits_too_long_is_ended_and_told(make_scheduler: MakeScheduler) -> None:
    """At the deadline, not before; whoever runs goes on."""
    scheduler = make_scheduler()
    running = replace(distinct("running", 100, 100), timeout_s=1.0)
    scheduler.add_request(running, 10.0)
    step_of(scheduler, 10.0)
    # No seat is left for it: long answers hold all of them.
    for idx in range(8):
        scheduler.add_request(distinct(f"r{idx}", 100, 100), 10.0)
    scheduler.add_request(replace(distinct("late", 10, 1), timeout_s=1.0), 10.0)
    assert scheduler.expire(10.9) == ()
    (output,) = scheduler.expire(11.0)
    assert (output.request_id, output.fault) == ("late", EXPIRED)
    assert scheduler.expire(12.0) == ()
    assert "running" in scheduler.snapshot().running
    scheduler.check_integrity()


def test_ended_requests_are_told_to_the_runner_once(make_scheduler: MakeScheduler) -> None:
    """With the next step; those that never ran are none of its business."""
    scheduler = make_scheduler()
    scheduler.add_request(distinct("a", 10, 1), 0.0)
    step_of(scheduler)
    scheduler.add_request(distinct("waiting", 10, 1), 0.0)
    scheduler.abort_requests([RequestId("waiting")])
    scheduler.add_request(distinct("b", 10, 2), 0.0)
    assert step_of(scheduler).finished_request_ids == ("a",)
    assert step_of(scheduler).finished_request_ids == ()


def test_aborting_tells_who_was_known(make_scheduler: MakeScheduler) -> None:
    """Unknown ones are fine, and so are known ones twice."""
    scheduler = make_scheduler()
    scheduler.add_request(distinct("a", 10, 5), 0.0)
    step_of(scheduler)
    assert scheduler.abort_requests([RequestId("a"), RequestId("nobody")]) == ("a",)
    assert scheduler.abort_requests([RequestId("a")]) == ()
    drained(scheduler)
    assert scheduler.load().num_used_blocks == 0


def test_a_step_that_fails_as_a_whole_ends_its_requests_only(
    make_scheduler: MakeScheduler,
) -> None:
    """Those that wait run next, on clean blocks."""
    scheduler = make_scheduler()
    scheduler.add_request(distinct("a", 10, 5), 0.0)
    step = scheduler.schedule(0.0)
    assert step is not None
    scheduler.add_request(distinct("b", 10, 1), 0.0)
    fault = RowFault(reason="STEP_FAILED", message="no")
    result = RunnerOutput(token_ids={}, faults={RequestId("a"): fault})
    (output,) = scheduler.update_from_output(step, result, 0.0)
    assert (output.request_id, output.fault) == ("a", fault)
    scheduler.check_integrity()
    assert [s.request_id for s in step_of(scheduler).sequences] == ["b"]


def test_load_and_snapshot_agree(make_scheduler: MakeScheduler) -> None:
    """Requests, blocks and holders, at every step."""
    scheduler = make_scheduler()
    for idx in range(7):
        scheduler.add_request(distinct(f"r{idx}", 20 + 11 * idx, 3 + idx), 0.0)
    while scheduler.has_requests:
        step = scheduler.schedule(0.0)
        if step is not None:
            scheduler.update_from_output(step, answered(step), 0.0)
        load, now = scheduler.load(), scheduler.snapshot()
        assert load.num_running == len(now.running) + len(now.paused)
        assert load.num_waiting == len(now.waiting)
        assert load.num_used_blocks == now.num_used_blocks == len(now.block_refs)
        total = load.num_free_blocks + load.num_used_blocks + load.num_cached_blocks
        assert total == load.num_total_blocks
        held = [block for table in now.block_tables.values() for block in table]
        assert {block: held.count(block) for block in held} == dict(now.block_refs)


def test_waiting_tokens_are_counted(make_scheduler: MakeScheduler) -> None:
    """Until their request starts."""
    scheduler = make_scheduler()
    for name, prompt in (("a", 10), ("b", 30)):
        scheduler.add_request(distinct(name, prompt, 2), 0.0)
    assert scheduler.load().num_waiting_tokens == 40
    drained(scheduler)
    assert scheduler.load().num_waiting_tokens == 0


def test_lower_priority_numbers_start_first(make_scheduler: MakeScheduler) -> None:
    """Equals in order of arrival."""
    scheduler = make_scheduler()
    for name, priority in (("late", 5), ("b", 0), ("first", -5), ("c", 0)):
        scheduler.add_request(replace(distinct(name, 10, 2), priority=priority), 0.0)
    started = [s.request_id for step in drained(scheduler) for s in step.sequences]
    assert list(dict.fromkeys(started)) == ["first", "b", "c", "late"]


def test_an_empty_scheduler_takes_whatever_can_ever_run(make_scheduler: MakeScheduler) -> None:
    """Never or now; too long is never, with limit and value."""
    scheduler = make_scheduler()
    assert scheduler.capacity(distinct("a", 128, 128)) == Fits()
    answer = scheduler.capacity(distinct("b", 200, 57))
    assert isinstance(answer, Never)
    assert "256" in answer.reason
    assert isinstance(scheduler.capacity(request_spec("c", 3, 2, prior=(1, 2))), Never)


def test_min_tokens_keep_end_tokens_from_being_chosen(make_scheduler: MakeScheduler) -> None:
    """Until so many are there."""
    scheduler = make_scheduler()
    scheduler.add_request(request_spec("a", 10, 5, min_tokens=2, eos=(7,), stop=(8,)), 0.0)
    banned = [
        sequence.sample.banned_token_ids
        for step in drained(scheduler)
        for sequence in step.sequences
        if sequence.sample is not None
    ]
    assert banned[:2] == [(7, 8), ()]


def test_an_idle_scheduler_decides_nothing(make_scheduler: MakeScheduler) -> None:
    """Before the first request and after the last."""
    scheduler = make_scheduler()
    assert scheduler.schedule(0.0) is None
    scheduler.add_request(distinct("a", 10, 1), 0.0)
    drained(scheduler)
    assert scheduler.schedule(0.0) is None
    assert scheduler.snapshot().tkv == 0


def test_whoever_runs_goes_on_however_many_short_ones_come(make_scheduler: MakeScheduler) -> None:
    """One-token requests take no seat: a stream of them never ends a batch's waiting by itself."""
    scheduler = make_scheduler()
    scheduler.add_request(distinct("runs", 10, 20), 0.0)
    step_of(scheduler)
    for idx in range(2_000):
        scheduler.add_request(distinct(f"s{idx}", 10, 1), 0.0)
        step_of(scheduler)
        if "runs" not in scheduler.snapshot().running:
            break
    assert "runs" not in scheduler.snapshot().running
