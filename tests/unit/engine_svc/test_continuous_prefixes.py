"""What `continuous` finds cached, what it copies for it, and what nobody finds."""

from engine_svc.core.outputs import RowFault, RunnerOutput
from engine_svc.core.params import RequestId
from engine_svc.core.scheduler.continuous import ContinuousScheduler
from tests.support.driving import step_of
from tests.support.requests import answered, request_spec, scheduler_config


def test_a_prompt_that_is_wholly_cached_costs_one_token_and_a_copy() -> None:
    """The last block is copied, so that its last token can be computed without touching it."""
    scheduler = ContinuousScheduler(scheduler_config())
    scheduler.add_request(request_spec("a", 8, 3), 0.0)
    step_of(scheduler)
    scheduler.add_request(request_spec("b", 8, 3), 0.0)
    step = scheduler.schedule(0.0)
    assert step is not None
    scheduler.check_integrity()
    _, sequence = step.sequences
    assert (sequence.block_table, sequence.first_position) == ((1, 3), 7)
    assert step.block_copies == ((2, 3),)
    _, output = scheduler.update_from_output(step, answered(step), 0.0)
    scheduler.check_integrity()
    assert output.num_cached_tokens == 7
    load = scheduler.load()
    assert (load.num_prompt_tokens, load.num_cached_prompt_tokens) == (16, 7)


def test_without_a_block_to_copy_to_the_last_block_is_computed_again() -> None:
    """A pool that the request fills alone."""
    scheduler = ContinuousScheduler(scheduler_config(num_blocks=2))
    scheduler.add_request(request_spec("a", 8, 1), 0.0)
    step_of(scheduler)
    scheduler.add_request(request_spec("b", 8, 1), 0.0)
    step = step_of(scheduler)
    assert step.block_copies == ()
    assert (step.sequences[0].first_position, step.sequences[0].block_table) == (4, (1, 2))


def test_other_salts_find_nothing() -> None:
    """The same prompt, computed for somebody else."""
    scheduler = ContinuousScheduler(scheduler_config())
    for name, salt in (("a", "x"), ("b", "y"), ("c", ""), ("d", "y")):
        scheduler.add_request(request_spec(name, 9, 1, salt=salt), 0.0)
        step = scheduler.schedule(0.0)
        assert step is not None
        (output,) = scheduler.update_from_output(step, answered(step), 0.0)
        assert output.num_cached_tokens == (8 if name == "d" else 0)


def test_nobody_finds_what_a_failed_request_computed() -> None:
    """Before it was preempted or after; what it had found itself stays."""
    scheduler = ContinuousScheduler(scheduler_config(max_num_batched_tokens=8))
    scheduler.add_request(request_spec("good", 5, 1), 0.0)
    step_of(scheduler)
    scheduler.add_request(request_spec("bad", 17, 4), 0.0)
    step_of(scheduler)
    scheduler.preempt(RequestId("bad"))
    step = scheduler.schedule(0.0)
    assert step is not None
    assert step.sequences[0].first_position == 12
    fault = RowFault(reason="NON_FINITE_LOGITS", message="no")
    result = RunnerOutput(token_ids={}, faults={RequestId("bad"): fault})
    scheduler.update_from_output(step, result, 0.0)
    scheduler.check_integrity()
    scheduler.add_request(request_spec("next", 17, 1), 0.0)
    step = scheduler.schedule(0.0)
    assert step is not None
    assert step.sequences[0].first_position == 4
