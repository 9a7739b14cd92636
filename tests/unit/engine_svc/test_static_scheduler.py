"""The static policy: one shape per batch, nobody joins, misfits wait their turn."""

from dataclasses import replace

import pytest

from engine_svc.core.batching import BatchingOptions, WarmupShape
from engine_svc.core.errors import StartupError
from engine_svc.core.outputs import RowFault, RunnerOutput, StaticShape
from engine_svc.core.params import RequestId
from engine_svc.core.scheduler.base import Bounds, Fits, Later, Never, SchedulerConfig
from engine_svc.core.scheduler.static import MAX_LOOKED_AT, StaticScheduler
from tests.support.driving import distinct, drained, step_of, steps_of, told
from tests.support.requests import answered

SHORT, LONG = (64, 20, 4), (128, 20, 2)


def bounds(*shapes: tuple[int, int, int], model_max_len: int = 1024) -> Bounds:
    """What a user asks for with --warmup-shapes."""
    made = tuple(
        WarmupShape(prompt_len=prompt, new_tokens=new, batch_size=batch)
        for prompt, new, batch in shapes
    )
    return Bounds(
        model_max_len=model_max_len,
        max_model_len=None,
        max_num_seqs=1,
        max_num_batched_tokens=1,
        block_size=None,
        options=BatchingOptions(shapes=made),
    )


def scheduler(*shapes: tuple[int, int, int], num_blocks: int = 64) -> StaticScheduler:
    """A scheduler of these shapes, settled."""
    settled = StaticScheduler.settle(bounds(*shapes))
    assert settled.max_model_len is not None
    return StaticScheduler(
        SchedulerConfig(
            num_blocks=num_blocks,
            block_size=settled.block_size or 0,
            max_model_len=settled.max_model_len,
            max_num_seqs=settled.max_num_seqs,
            max_num_batched_tokens=1,
            options=settled.options,
        )
    )


def shape_of(layout: object) -> StaticShape:
    assert isinstance(layout, StaticShape)
    return layout


def test_the_shapes_settle_context_seats_and_blocks() -> None:
    """The longest prompt + new tokens; the largest batch; 16 tokens per block."""
    settled = StaticScheduler.settle(bounds((64, 200, 4), (128, 20, 2)))
    assert (settled.max_model_len, settled.max_num_seqs, settled.block_size) == (264, 4, 16)
    own = replace(bounds(SHORT), block_size=8)
    assert StaticScheduler.settle(own).block_size == 8


def test_shapes_must_be_given_and_fit_the_model() -> None:
    """Both are told with their numbers."""
    with pytest.raises(StartupError, match="needs --warmup-shapes"):
        StaticScheduler.settle(bounds())
    with pytest.raises(StartupError, match="come to 148; the model's context is 147"):
        StaticScheduler.settle(bounds(LONG, model_max_len=147))
    assert StaticScheduler.settle(bounds(LONG, model_max_len=148)).max_model_len == 148


def test_a_pool_that_cannot_hold_the_largest_batch_is_refused_before_the_warm_up() -> None:
    """4 requests of 64 + 19 positions: 6 blocks each."""
    assert scheduler(SHORT, num_blocks=24)
    with pytest.raises(StartupError, match="64:20:4 needs 24 KV blocks of 16 tokens; there are 23"):
        scheduler(SHORT, num_blocks=23)


def test_a_batch_takes_the_head_and_whoever_fits_a_shape_with_it() -> None:
    """A misfit is passed over while there is a row, and keeps its place."""
    policy = scheduler(SHORT, LONG)
    for name, prompt in (("a", 100), ("b", 10), ("c", 10)):
        policy.add_request(distinct(name, prompt, 2), 0.0)
    assert steps_of(policy, 3) == [["a!", "b!"], ["a", "b"], ["c!"]]


def test_a_misfit_is_passed_over_while_rows_are_free() -> None:
    """64:20:4 alone: the long one waits for a batch of its own, those behind it do not."""
    policy = scheduler((64, 20, 3), (128, 20, 1))
    for name, prompt in (("a", 10), ("long", 100), ("b", 10), ("c", 10), ("d", 10)):
        policy.add_request(distinct(name, prompt, 1), 0.0)
    assert steps_of(policy, 3) == [["a!", "b!", "c!"], ["long!"], ["d!"]]


def test_nobody_joins_until_the_batch_has_drained() -> None:
    """Whoever comes meanwhile waits for the last one."""
    policy = scheduler(SHORT)
    policy.add_request(distinct("a", 10, 3), 0.0)
    policy.add_request(distinct("b", 10, 1), 0.0)
    step_of(policy)
    policy.add_request(distinct("c", 10, 1), 0.0)
    assert steps_of(policy, 3) == [["a"], ["a"], ["c!"]]
    assert not policy.has_requests


def test_the_layout_states_rows_pads_and_length() -> None:
    """Prompts are padded on the left to the shape; ended rows stay, empty."""
    policy = scheduler(SHORT)
    policy.add_request(distinct("a", 10, 1), 0.0)
    policy.add_request(distinct("b", 64, 3), 0.0)
    first, second = (shape_of(step_of(policy).layout) for _ in range(2))
    assert (first.prompt_len, first.new_tokens, first.batch_size) == SHORT
    assert first.rows == ("a", "b", None, None)
    assert first.left_pads == second.left_pads == (54, 0, 64, 64)
    assert second.rows == (None, "b", None, None)
    assert (first.kv_len, second.kv_len) == (64, 65)
    assert policy.snapshot().tkv == 65


def test_the_fastest_shape_that_holds_the_batch_is_run() -> None:
    """Two short requests run in the batch of two, four in the batch of four."""
    policy = scheduler(SHORT, LONG)
    for name in "ab":
        policy.add_request(distinct(name, 10, 1), 0.0)
    assert shape_of(step_of(policy).layout).batch_size == 2
    for name in "cdef":
        policy.add_request(distinct(name, 10, 1), 0.0)
    assert shape_of(step_of(policy).layout).batch_size == 4


def test_a_request_that_fits_no_shape_never_fits_and_the_shapes_are_named() -> None:
    """Prompt and new tokens must fit the same shape."""
    policy = scheduler((64, 40, 4), (128, 20, 2))
    assert policy.capacity(distinct("a", 128, 20)) == Fits()
    for prompt, new in ((65, 21), (64, 41), (129, 1)):
        answer = policy.capacity(distinct("b", prompt, new))
        assert isinstance(answer, Never)
        assert "128:20:2, 64:40:4" in answer.reason
    assert isinstance(policy.capacity(distinct("c", 100, 100)), Never)
    policy.add_request(distinct("a", 10, 1), 0.0)
    assert policy.capacity(distinct("d", 10, 1)) == Later()


def test_prior_output_is_computed_with_the_prompt() -> None:
    """It takes room of the prompt's part, and less is left to produce."""
    policy = scheduler((16, 4, 1))
    assert isinstance(policy.capacity(distinct("a", 14, 5, prior=(1, 2, 3))), Never)
    spec = distinct("a", 13, 5, prior=(1, 2, 3))
    assert policy.capacity(spec) == Fits()
    policy.add_request(spec, 0.0)
    step = step_of(policy)
    assert step.num_tokens == 16
    assert told(step_of(policy)) == ["a"]
    assert not policy.has_requests


def test_an_abort_empties_a_row_and_the_last_one_drains_the_batch() -> None:
    """The next batch starts at once."""
    policy = scheduler(SHORT)
    for name in "ab":
        policy.add_request(distinct(name, 10, 9), 0.0)
    step_of(policy)
    policy.add_request(distinct("c", 10, 1), 0.0)
    assert policy.abort_requests([RequestId("a")]) == ("a",)
    policy.check_integrity()
    step = step_of(policy)
    assert shape_of(step.layout).rows == (None, "b", None, None)
    assert step.finished_request_ids == ("a",)
    policy.abort_requests([RequestId("b")])
    assert told(step_of(policy)) == ["c!"]


def test_a_fault_empties_only_its_row() -> None:
    """The neighbour has its token."""
    policy = scheduler(SHORT)
    for name in "ab":
        policy.add_request(distinct(name, 10, 9), 0.0)
    step = policy.schedule(0.0)
    assert step is not None
    tokens = dict(answered(step).token_ids)
    del tokens[RequestId("a")]
    fault = RowFault(reason="X", message="x")
    result = RunnerOutput(token_ids=tokens, faults={RequestId("a"): fault})
    outputs = policy.update_from_output(step, result, 0.0)
    assert [output.fault for output in outputs] == [fault, None]
    assert policy.snapshot().running == ("b",)


def test_the_queue_is_looked_through_only_so_far() -> None:
    """A batch costs the same however long the queue is; misfits come in their turn."""
    policy = scheduler((8, 2, 2), (16, 2, 1))
    policy.add_request(distinct("first", 8, 1), 0.0)
    for index in range(MAX_LOOKED_AT):
        policy.add_request(distinct(f"long{index}", 16, 1), 0.0)
    policy.add_request(distinct("far", 8, 1), 0.0)
    assert told(step_of(policy)) == ["first!"]
    assert told(step_of(policy)) == ["long0!"]


def test_everything_is_free_in_the_end() -> None:
    """Load and snapshot agree."""
    policy = scheduler(SHORT, LONG)
    for index in range(7):
        policy.add_request(distinct(f"r{index}", 20 * index + 1, 1 + index), 0.0)
    assert policy.load().num_waiting == 7
    step_of(policy)
    load = policy.load()
    assert load.num_running == len(policy.snapshot().running) > 0
    assert load.num_used_blocks == policy.snapshot().num_used_blocks > 0
    drained(policy)
    assert policy.schedule(0.0) is None
    assert policy.snapshot().tkv == 0
    assert policy.load().num_free_blocks == policy.load().num_total_blocks
