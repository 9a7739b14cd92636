"""The continuous policy: decodes first, chunks within the budget, strict turns, preemption."""

from dataclasses import replace

import pytest

from engine_svc.core.outputs import (
    NO_SLOT,
    RequestOutput,
    RowFault,
    RunnerOutput,
    SchedulerOutput,
)
from engine_svc.core.params import FinishReason, RequestId
from engine_svc.core.scheduler.base import Fits, Later, Never
from engine_svc.core.scheduler.continuous import ContinuousScheduler
from engine_svc.core.scheduler.ledger import EXPIRED
from tests.support.requests import answered, request_spec, scheduler_config


def shape(step: SchedulerOutput | None) -> list[tuple[str, int, bool]]:
    """(request, tokens, sampled) of each sequence."""
    assert step is not None
    return [(str(s.request_id), s.num_tokens, s.sample is not None) for s in step.sequences]


def run(scheduler: ContinuousScheduler, now: float = 0.0) -> list[tuple[str, int, bool]]:
    """One step in which every sampled token is 1."""
    step = scheduler.schedule(now)
    assert step is not None
    scheduler.update_from_output(step, answered(step), now)
    scheduler.check_integrity()
    return shape(step)


def test_a_long_prompt_is_computed_in_chunks_of_the_budget() -> None:
    """Only the chunk that reaches the end of the prompt is sampled."""
    scheduler = ContinuousScheduler(scheduler_config(max_num_batched_tokens=8))
    scheduler.add_request(request_spec("a", 19), 0.0)
    assert [run(scheduler) for _ in range(4)] == [
        [("a", 8, False)],
        [("a", 8, False)],
        [("a", 3, True)],
        [("a", 1, True)],
    ]


def test_decodes_go_before_chunks() -> None:
    """A running answer gets its token in every step, whatever prompt is being computed."""
    scheduler = ContinuousScheduler(scheduler_config(max_num_batched_tokens=8))
    scheduler.add_request(request_spec("a", 3), 0.0)
    run(scheduler)
    scheduler.add_request(request_spec("b", 20), 0.0)
    assert run(scheduler) == [("a", 1, True), ("b", 7, False)]
    assert run(scheduler) == [("a", 1, True), ("b", 7, False)]


def test_nobody_overtakes_the_head_of_the_queue() -> None:
    """A small request waits behind one that has no room yet."""
    scheduler = ContinuousScheduler(scheduler_config(num_blocks=6))
    scheduler.add_request(request_spec("a", 8, 9), 0.0)
    run(scheduler)
    scheduler.add_request(request_spec("big", tuple(range(50, 66)), 9), 0.0)
    scheduler.add_request(request_spec("small", 1, 1), 0.0)
    assert run(scheduler) == [("a", 1, True)]
    assert scheduler.load().num_waiting == 2


def test_a_start_leaves_one_free_block_for_each_that_runs() -> None:
    """So that it does not take the block that the next decode needs."""
    scheduler = ContinuousScheduler(scheduler_config(num_blocks=5))
    scheduler.add_request(request_spec("a", (1, 2, 3), 9), 0.0)
    run(scheduler)
    scheduler.add_request(request_spec("four blocks", tuple(range(20, 36)), 2), 0.0)
    assert run(scheduler) == [("a", 1, True)]
    scheduler.abort_requests([RequestId("four blocks")])
    scheduler.add_request(request_spec("two blocks", tuple(range(40, 48)), 2), 0.0)
    assert run(scheduler) == [("a", 1, True), ("two blocks", 8, True)]


def test_blocks_are_taken_as_a_request_grows() -> None:
    """Prompt + max_tokens - 1 positions at most: the last token is never computed."""
    scheduler = ContinuousScheduler(scheduler_config(num_blocks=2, prefix_caching=False))
    scheduler.add_request(request_spec("exact", 4, 5), 0.0)
    assert run(scheduler) == [("exact", 4, True)]
    assert (scheduler.load().num_used_blocks, scheduler.snapshot().num_reserved_blocks) == (1, 0)
    assert [run(scheduler) for _ in range(4)] == [[("exact", 1, True)]] * 4
    assert not scheduler.has_requests
    assert scheduler.load().num_free_blocks == 2


def test_seats_are_limited() -> None:
    """At most max_num_seqs requests run."""
    scheduler = ContinuousScheduler(scheduler_config(max_num_seqs=2))
    for name in "abc":
        scheduler.add_request(request_spec(name, 1, 2), 0.0)
    assert [name for name, *_ in run(scheduler)] == ["a", "b"]
    assert [name for name, *_ in run(scheduler)] == ["a", "b"]
    assert [name for name, *_ in run(scheduler)] == ["c"]


def test_slots_and_tables_grow_with_the_request() -> None:
    """The table covers every scheduled position and nothing is skipped."""
    scheduler = ContinuousScheduler(scheduler_config())
    scheduler.add_request(request_spec("a", 5, 5), 0.0)
    step = scheduler.schedule(0.0)
    assert step is not None
    (sequence,) = step.sequences
    assert sequence.block_table == (1, 2)
    assert sequence.slot_mapping == (4, 5, 6, 7, 8)
    assert NO_SLOT not in sequence.slot_mapping
    scheduler.update_from_output(step, answered(step), 0.0)
    step = scheduler.schedule(0.0)
    assert step is not None
    assert step.sequences[0].slot_mapping == (9,)
    assert step.sequences[0].first_position == 5


@pytest.mark.parametrize("steps", [0, 1, 2, 4])
def test_an_abort_frees_everything_in_any_state(steps: int) -> None:
    """Waiting, in the middle of the prompt, decoding: all blocks and promises come back."""
    scheduler = ContinuousScheduler(scheduler_config(max_num_batched_tokens=8))
    scheduler.add_request(request_spec("a", 15, 9), 0.0)
    for _ in range(steps):
        run(scheduler)
    assert scheduler.abort_requests([RequestId("a"), RequestId("unknown")]) == ("a",)
    scheduler.check_integrity()
    assert not scheduler.has_requests
    load = scheduler.load()
    assert load.num_free_blocks + load.num_cached_blocks == 64
    assert scheduler.schedule(0.0) is None


def test_the_runner_hears_of_requests_that_ended() -> None:
    """Once, with the next step."""
    scheduler = ContinuousScheduler(scheduler_config())
    scheduler.add_request(request_spec("a", 1, 1), 0.0)
    scheduler.add_request(request_spec("b", 1, 3), 0.0)
    run(scheduler)
    step = scheduler.schedule(0.0)
    assert step is not None
    assert step.finished_request_ids == ("a",)
    scheduler.update_from_output(step, answered(step), 0.0)
    step = scheduler.schedule(0.0)
    assert step is not None
    assert step.finished_request_ids == ()


def test_a_fault_ends_only_its_request() -> None:
    """The faulty row's request is gone with its blocks; its neighbour has its token."""
    scheduler = ContinuousScheduler(scheduler_config())
    for name in "ab":
        scheduler.add_request(request_spec(name), 0.0)
    step = scheduler.schedule(0.0)
    assert step is not None
    fault = RowFault(reason="NON_FINITE_LOGITS", message="no")
    result = RunnerOutput(token_ids={RequestId("b"): (7,)}, faults={RequestId("a"): fault})
    outputs = {o.request_id: o for o in scheduler.update_from_output(step, result, 0.0)}
    assert outputs[RequestId("a")].fault is fault
    assert outputs[RequestId("b")].token_ids == (7,)
    scheduler.check_integrity()
    assert scheduler.load().num_running == 1


def test_outputs_tell_position_start_and_times() -> None:
    """is_first with the queue time, positions without gaps, times with the end."""
    scheduler = ContinuousScheduler(scheduler_config(max_num_batched_tokens=8))
    scheduler.add_request(request_spec("a", 10, 2), 1.0)
    outputs: list[RequestOutput] = []
    for now in (3.0, 5.0, 9.0):
        step = scheduler.schedule(now)
        assert step is not None
        outputs += scheduler.update_from_output(step, answered(step), now + 1)
    first, second, third = outputs
    assert (first.is_first, first.queue_s, first.token_ids) == (True, 2.0, ())
    assert (second.is_first, second.first_position, second.token_ids) == (False, 0, (1,))
    assert (third.first_position, third.finish_reason) == (1, FinishReason.MAX_TOKENS)
    assert (third.prefill_s, third.decode_s) == (3.0, 4.0)


def test_prior_output_counts_as_output() -> None:
    """Its tokens are computed again, its positions are not told again, its count is kept."""
    scheduler = ContinuousScheduler(scheduler_config())
    scheduler.add_request(request_spec("a", 3, 4, prior=(5, 6)), 0.0)
    step = scheduler.schedule(0.0)
    assert step is not None
    assert step.sequences[0].token_ids == (10, 11, 12, 5, 6)
    (output,) = scheduler.update_from_output(step, answered(step), 0.0)
    assert output.first_position == 2
    step = scheduler.schedule(0.0)
    assert step is not None
    (output,) = scheduler.update_from_output(step, answered(step), 0.0)
    assert output.finish_reason is FinishReason.MAX_TOKENS


def test_prior_output_that_leaves_nothing_to_produce_never_fits() -> None:
    """Its blocks would not be counted."""
    scheduler = ContinuousScheduler(scheduler_config())
    assert scheduler.capacity(request_spec("a", 3, 4, prior=(1, 2, 3))) == Fits()
    assert isinstance(scheduler.capacity(request_spec("a", 3, 4, prior=(1,) * 4)), Never)


def test_capacity_tells_fits_later_and_never() -> None:
    """Never names limit and value."""
    scheduler = ContinuousScheduler(scheduler_config(num_blocks=4, max_model_len=40))
    assert scheduler.capacity(request_spec("a", 4, 5)) == Fits()
    scheduler.add_request(request_spec("a", 10, 7), 0.0)
    run(scheduler)
    assert scheduler.capacity(request_spec("b", 4, 5)) == Later()
    too_long = scheduler.capacity(request_spec("c", 30, 11))
    assert isinstance(too_long, Never)
    assert "40" in too_long.reason
    too_big = scheduler.capacity(request_spec("d", 10, 8))
    assert isinstance(too_big, Never)
    assert "5 KV blocks" in too_big.reason


def test_the_same_calls_give_the_same_decisions() -> None:
    """Deterministic: two schedulers in step never differ."""
    one, two = (ContinuousScheduler(scheduler_config()) for _ in range(2))
    for scheduler in (one, two):
        for index in range(12):
            scheduler.add_request(request_spec(f"r{index}", 1 + index % 7, 3), 0.0)
    for _ in range(20):
        steps = one.schedule(0.0), two.schedule(0.0)
        assert steps[0] == steps[1]
        if steps[0] is not None and steps[1] is not None:
            one.update_from_output(steps[0], answered(steps[0]), 0.0)
            two.update_from_output(steps[1], answered(steps[1]), 0.0)


def outputs_of(scheduler: ContinuousScheduler, now: float = 0.0) -> list[RequestOutput]:
    """What one step tells, if every sampled token is 1."""
    step = scheduler.schedule(now)
    assert step is not None
    outputs = scheduler.update_from_output(step, answered(step), now)
    scheduler.check_integrity()
    return list(outputs)


def test_whoever_came_last_gives_its_blocks_to_whoever_came_first() -> None:
    """When the pool is used up; it waits again, in front of those that came later."""
    scheduler = ContinuousScheduler(scheduler_config(num_blocks=4, prefix_caching=False))
    for name in "abc":
        scheduler.add_request(request_spec(name, 4, 9), 0.0)
    assert run(scheduler) == [("a", 4, True), ("b", 4, True)]
    assert run(scheduler) == [("a", 1, True), ("b", 1, True)]
    for _ in range(3):
        assert run(scheduler) == [("a", 1, True), ("b", 1, True)]
    step = scheduler.schedule(0.0)
    assert shape(step) == [("a", 1, True)]
    assert step is not None
    assert step.preempted_request_ids == ("b",)
    scheduler.update_from_output(step, answered(step), 0.0)
    scheduler.check_integrity()
    assert scheduler.snapshot().waiting == ("b", "c")
    assert scheduler.load().num_preemptions == 1


def test_whoever_needs_a_block_and_came_last_preempts_itself() -> None:
    """Never somebody more deserving."""
    scheduler = ContinuousScheduler(scheduler_config(num_blocks=3, prefix_caching=False))
    scheduler.add_request(request_spec("a", 4, 9), 0.0)
    scheduler.add_request(request_spec("b", (1, 2), 9), 0.0)
    for _ in range(3):
        assert [name for name, *_ in run(scheduler)] == ["a", "b"]
    assert run(scheduler) == [("a", 1, True)]
    assert scheduler.snapshot().waiting == ("b",)
    assert scheduler.snapshot().num_used_blocks == 2


def test_a_preempted_request_goes_on_where_it_was() -> None:
    """All its tokens are computed again; positions go on, and it does not begin twice."""
    scheduler = ContinuousScheduler(scheduler_config(prefix_caching=False))
    scheduler.add_request(request_spec("a", 5, 6), 0.0)
    (first,), (second,) = outputs_of(scheduler, 1.0), outputs_of(scheduler, 2.0)
    scheduler.preempt(RequestId("a"))
    scheduler.check_integrity()
    assert (scheduler.load().num_used_blocks, scheduler.load().num_waiting_tokens) == (0, 7)
    step = scheduler.schedule(3.0)
    assert step is not None
    assert step.sequences[0].token_ids == (10, 11, 12, 13, 14, 1, 1)
    assert step.preempted_request_ids == ("a",)
    assert step.finished_request_ids == ()
    (third,) = scheduler.update_from_output(step, answered(step), 3.0)
    assert [o.is_first for o in (first, second, third)] == [True, False, False]
    assert [o.first_position for o in (first, second, third)] == [0, 1, 2]


def test_what_a_preempted_request_had_computed_is_found_again() -> None:
    """All full blocks; the rest is computed again."""
    scheduler = ContinuousScheduler(scheduler_config())
    scheduler.add_request(request_spec("a", 9, 6), 0.0)
    run(scheduler)
    scheduler.preempt(RequestId("a"))
    step = scheduler.schedule(0.0)
    assert step is not None
    assert (step.sequences[0].first_position, step.sequences[0].num_tokens) == (8, 2)


def test_a_preempted_request_whose_deadline_passes_ends() -> None:
    """It waits, and its caller no longer does; the runner hears of it."""
    scheduler = ContinuousScheduler(scheduler_config())
    scheduler.add_request(replace(request_spec("a", 5, 6), timeout_s=2.0), 0.0)
    scheduler.add_request(request_spec("b", 5, 6), 0.0)
    run(scheduler)
    assert scheduler.expire(3.0) == ()
    scheduler.preempt(RequestId("a"))
    (output,) = scheduler.expire(3.0)
    assert (output.request_id, output.fault) == ("a", EXPIRED)
    step = scheduler.schedule(3.0)
    assert step is not None
    assert step.finished_request_ids == ("a",)


def test_better_priority_takes_seat_and_blocks_from_worse() -> None:
    """As few as will do, the latest first; equals are left alone."""
    scheduler = ContinuousScheduler(scheduler_config(max_num_seqs=2))
    for name in "ab":
        scheduler.add_request(request_spec(name, 2, 9, priority=5), 0.0)
    run(scheduler)
    scheduler.add_request(request_spec("equal", 2, 9, priority=5), 0.0)
    assert [name for name, *_ in run(scheduler)] == ["a", "b"]
    scheduler.add_request(request_spec("better", 2, 1, priority=1), 0.0)
    assert [name for name, *_ in run(scheduler)] == ["a", "better"]
    assert [name for name, *_ in run(scheduler)] == ["a", "b"]


def test_better_priority_starts_although_decodes_take_the_whole_budget() -> None:
    """The one whose seat it takes gives its token back as well."""
    scheduler = ContinuousScheduler(scheduler_config(max_num_seqs=2, max_num_batched_tokens=2))
    for name in "ab":
        scheduler.add_request(request_spec(name, 1, 9, priority=5), 0.0)
    run(scheduler)
    scheduler.add_request(request_spec("better", 2, 1), 0.0)
    assert run(scheduler) == [("a", 1, True), ("better", 1, False)]


def test_nobody_is_preempted_for_a_request_that_would_not_fit_even_so() -> None:
    """Blocks of equals are needed as well: all go on."""
    scheduler = ContinuousScheduler(scheduler_config(num_blocks=4, prefix_caching=False))
    scheduler.add_request(request_spec("equal", 7, 2), 0.0)
    scheduler.add_request(request_spec("worse", 3, 2, priority=1), 0.0)
    run(scheduler)
    scheduler.add_request(request_spec("big", 12, 2), 0.0)
    assert [name for name, *_ in run(scheduler)] == ["equal", "worse"]
    assert scheduler.load().num_preemptions == 0
