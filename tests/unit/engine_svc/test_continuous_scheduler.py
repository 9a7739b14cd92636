"""The continuous policy: decodes first, chunks within the budget, strict order of arrival."""

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
    scheduler.add_request(request_spec("big", 12, 9), 0.0)
    scheduler.add_request(request_spec("small", 1, 1), 0.0)
    assert run(scheduler) == [("a", 1, True)]
    assert scheduler.load().num_waiting == 2


def test_admission_promises_all_blocks_that_a_request_can_need() -> None:
    """Prompt + max_tokens - 1 positions: the last token is never computed."""
    scheduler = ContinuousScheduler(scheduler_config(num_blocks=2))
    scheduler.add_request(request_spec("exact", 4, 5), 0.0)
    assert run(scheduler) == [("exact", 4, True)]
    assert scheduler.load().num_used_blocks == 1
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
    assert scheduler.load().num_free_blocks == 64
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
