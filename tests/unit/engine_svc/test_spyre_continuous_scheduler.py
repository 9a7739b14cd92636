"""The spyre_continuous policy beyond its traces: who joins, who must wait, what is told."""

from dataclasses import replace

import pytest

from engine_svc.core.batching import BatchingOptions, Join
from engine_svc.core.errors import StartupError
from engine_svc.core.params import RequestId
from engine_svc.core.scheduler.base import Bounds, Fits, Later, Never
from engine_svc.core.scheduler.spyre_continuous import SpyreContinuousScheduler
from tests.support.driving import (
    distinct,
    drained,
    padded,
    spyre_config,
    step_of,
    steps_of,
    told,
)
from tests.support.requests import answered, request_spec

WAIT = BatchingOptions(join=Join.WAIT)


def policy_of(**bounds: object) -> SpyreContinuousScheduler:
    return SpyreContinuousScheduler(spyre_config(**bounds))  # type: ignore[arg-type] # passed on


BOUNDS = Bounds(
    model_max_len=1000,
    max_model_len=None,
    max_num_seqs=4,
    max_num_batched_tokens=512,
    block_size=None,
    options=BatchingOptions(),
)


def test_the_device_settles_blocks_and_context() -> None:
    """Blocks of 64; a context of whole blocks, taken from the model where unset."""
    settled = SpyreContinuousScheduler.settle(BOUNDS)
    assert (settled.block_size, settled.model_max_len) == (64, 960)
    assert SpyreContinuousScheduler.settle(replace(BOUNDS, block_size=64)).block_size == 64


@pytest.mark.parametrize(
    ("change", "told_"),
    [
        ({"block_size": 16}, "--block-size 16: the Spyre policies need 64"),
        ({"max_model_len": 500}, "--max-model-len 500 must be a multiple of 64 .* take 448"),
        ({"max_model_len": 5}, "--max-model-len 5 must be a multiple of 64 .* take 64"),
        ({"model_max_len": 63}, "context of 63 is below a block of 64"),
    ],
)
def test_bounds_that_the_device_cannot_take_are_refused(change: dict[str, int], told_: str) -> None:
    """With the option and a value that would do."""
    with pytest.raises(StartupError, match=told_):
        SpyreContinuousScheduler.settle(replace(BOUNDS, **change))  # type: ignore[arg-type] # ints


@pytest.mark.parametrize(
    ("config", "told_"),
    [
        (replace(spyre_config(), block_size=16), "--block-size 16"),
        (
            spyre_config(max_num_seqs=1, options=BatchingOptions(min_decode_rows=2)),
            "--max-num-seqs 1 is below --min-decode-rows 2",
        ),
        (
            spyre_config(options=BatchingOptions(min_decode_rows=2, max_batch_tkv=127)),
            "--max-batch-tkv 127 is below 2 rows",
        ),
    ],
)
def test_a_scheduler_that_could_run_nothing_is_not_made(config: object, told_: str) -> None:
    """Before the warm-up."""
    with pytest.raises(StartupError, match=told_):
        SpyreContinuousScheduler(config)  # type: ignore[arg-type] # a SchedulerConfig


def test_a_prompt_is_computed_alone_and_joins_in_front() -> None:
    """Never with decodes, one per step."""
    policy = policy_of()
    for name in "abc":
        policy.add_request(distinct(name, 10, 5), 0.0)
    assert steps_of(policy, 4) == [["a!"], ["b!"], ["c!"], ["c", "b", "a"]]


def test_nobody_overtakes_a_head_that_must_wait() -> None:
    """join=wait: a prompt longer than the batch stops those behind it."""
    policy = policy_of(options=WAIT)
    policy.add_request(distinct("a", 10, 20), 0.0)
    policy.add_request(distinct("long", 66, 2), 0.0)
    policy.add_request(distinct("b", 1, 2), 0.0)
    assert steps_of(policy, 4) == [["a!"], ["a"], ["a"], ["long!"]]
    assert policy.snapshot().waiting == ("b",)


def test_a_lower_priority_number_goes_first() -> None:
    """The head is chosen by priority; the running ones stay."""
    policy = policy_of(max_num_seqs=2)
    policy.add_request(distinct("a", 5, 3), 0.0)
    policy.add_request(replace(distinct("late", 5, 3), priority=1), 0.0)
    policy.add_request(distinct("b", 5, 3), 0.0)
    assert steps_of(policy, 2) == [["a!"], ["b!"]]


def test_seats_are_limited() -> None:
    """One more waits for an end."""
    policy = policy_of(max_num_seqs=2)
    for name in "abc":
        policy.add_request(distinct(name, 5, 2), 0.0)
    assert steps_of(policy, 4) == [["a!"], ["b!"], ["b", "a"], ["c!"]]


@pytest.mark.parametrize(("max_tokens", "next_step"), [(64, ["b!"]), (65, ["a"])])
def test_a_new_request_needs_context_behind_tkv(max_tokens: int, next_step: list[str]) -> None:
    """64 of 128 are taken."""
    policy = policy_of(max_model_len=128)
    policy.add_request(distinct("a", 10, 9), 0.0)
    step_of(policy)
    policy.add_request(distinct("b", 10, max_tokens), 0.0)
    assert told(step_of(policy)) == next_step


@pytest.mark.parametrize(("running_tokens", "next_step"), [(64, ["long!"]), (65, ["a"])])
def test_a_shift_needs_context_for_the_running_ones_too(
    running_tokens: int, next_step: list[str]
) -> None:
    """49 tokens at 64; 70 would move the batch to 128 of 192: 64 more tokens each."""
    policy = policy_of(max_model_len=192)
    policy.add_request(distinct("a", 49, running_tokens), 0.0)
    step_of(policy)
    policy.add_request(distinct("long", 70, 1), 0.0)
    assert told(step_of(policy)) == next_step


@pytest.mark.parametrize(("num_blocks", "next_step"), [(5, ["b!"]), (4, ["a"])])
def test_a_new_request_needs_all_its_blocks_promised(num_blocks: int, next_step: list[str]) -> None:
    """a: 2 blocks for 10 + 9 at 64; b: 3 for 10 + 66."""
    policy = policy_of(num_blocks=num_blocks, max_model_len=256)
    policy.add_request(distinct("a", 10, 9), 0.0)
    step_of(policy)
    policy.add_request(distinct("b", 10, 66), 0.0)
    assert told(step_of(policy)) == next_step


def test_the_lone_tail_of_a_new_row_is_within_the_limit_too() -> None:
    """Others leave first; what is left of the batch is one row, and long."""
    limited = BatchingOptions(max_batch_tkv=280)
    policy = policy_of(options=limited, max_model_len=512)
    policy.add_request(distinct("a", 70, 3), 0.0)
    step_of(policy)
    spec = distinct("b", 70, 211)
    assert policy.capacity(spec) != Fits()
    policy.add_request(distinct("c", 70, 4), 0.0)
    assert told(step_of(policy)) == ["c!"]
    for step in drained(policy):
        assert padded(step).num_rows * padded(step).tkv <= 280


@pytest.mark.parametrize(("limit", "next_step"), [(2 * 136, ["b!"]), (2 * 136 - 1, ["a"])])
def test_the_volume_has_its_border(limit: int, next_step: list[str]) -> None:
    """At 128: a ends with 9 decodes left at 136; b later, alone."""
    policy = policy_of(options=BatchingOptions(max_batch_tkv=limit))
    policy.add_request(distinct("a", 100, 10), 0.0)
    step_of(policy)
    policy.add_request(distinct("b", 100, 9), 0.0)
    assert told(step_of(policy)) == next_step


@pytest.mark.parametrize(("limit", "next_step"), [(2 * 136, ["b!"]), (2 * 136 - 1, ["a"])])
def test_copies_count_in_the_volume(limit: int, next_step: list[str]) -> None:
    """With at least two rows, the lone tail of a row counts twice."""
    options = BatchingOptions(max_batch_tkv=limit, min_decode_rows=2)
    policy = policy_of(options=options)
    policy.add_request(distinct("a", 128, 2), 0.0)
    step_of(policy)
    policy.add_request(distinct("b", 128, 9), 0.0)
    assert told(step_of(policy)) == next_step


def test_copies_of_rows_count_and_are_told() -> None:
    """FP8 models decode at least two rows."""
    policy = policy_of(options=BatchingOptions(min_decode_rows=2))
    policy.add_request(distinct("a", 10, 3), 0.0)
    assert padded(step_of(policy)).num_rows == 1
    assert padded(step_of(policy)).num_rows == 2


def test_geometry_of_a_prompt_and_of_decodes() -> None:
    """Pads, whole-block queries, tkv; slots behind the pad of the first block."""
    policy = policy_of()
    policy.add_request(distinct("a", 70, 5), 0.0)
    policy.add_request(distinct("b", 10, 5), 0.0)
    first, second, both = (step_of(policy) for _ in range(3))
    assert (padded(first).tkv, padded(first).left_pads, padded(first).query_len) == (
        128,
        (58,),
        128,
    )
    assert padded(first).write_blocks == (1, 2)
    (row,) = first.sequences
    assert (row.block_offset, row.slot_mapping[0], row.slot_mapping[-1]) == (
        58,
        64 + 58,
        2 * 64 + 63,
    )
    assert (padded(second).left_pads, padded(second).query_len) == ((54,), 64)
    assert padded(second).write_blocks == (3,)
    assert (padded(both).tkv, padded(both).left_pads, padded(both).query_len) == (129, (118, 58), 1)
    assert padded(both).write_blocks == ()
    assert [s.slot_mapping for s in both.sequences] == [(4 * 64,), (5 * 64,)]


def test_capacity_tells_what_fits_now_and_what_must_wait() -> None:
    """Behind others in the queue, or for blocks: later."""
    policy = policy_of(max_model_len=256, num_blocks=3)
    assert policy.capacity(distinct("x", 10, 1)) == Fits()
    policy.add_request(distinct("a", 10, 9), 0.0)
    assert policy.capacity(distinct("x", 10, 1)) == Later()
    step_of(policy)
    assert policy.capacity(distinct("x", 10, 1)) == Fits()
    assert policy.capacity(distinct("x", 100, 9)) == Later()


def test_prompt_and_output_stay_within_the_context() -> None:
    """Even where the last token would never be computed."""
    policy = policy_of(max_model_len=128)
    assert policy.capacity(distinct("x", 64, 64)) == Fits()
    answer = policy.capacity(distinct("x", 64, 65))
    assert isinstance(answer, Never)
    assert "exceed the context of 128" in answer.reason


@pytest.mark.parametrize(
    ("bounds", "fits", "misfits", "reason"),
    [
        ({"max_model_len": 128}, (10, 65), (10, 66), "padded to 64"),
        ({"max_model_len": 256, "num_blocks": 2}, (10, 65), (10, 66), "needs 3 KV blocks"),
        ({"options": BatchingOptions(max_batch_tkv=100)}, (10, 37), (10, 38), "length of 101"),
        (
            {"options": BatchingOptions(max_batch_tkv=200, min_decode_rows=2)},
            (10, 37),
            (10, 38),
            "length of 101",
        ),
    ],
)
def test_each_limit_alone_has_its_border(
    bounds: dict[str, object], fits: tuple[int, int], misfits: tuple[int, int], reason: str
) -> None:
    """The last request that fits, the first that does not."""
    policy = policy_of(**bounds)
    assert policy.capacity(distinct("x", *fits)) == Fits()
    answer = policy.capacity(distinct("x", *misfits))
    assert isinstance(answer, Never)
    assert reason in answer.reason


def test_blocks_of_an_ended_request_come_back_with_the_next_decision() -> None:
    """There is something to do until then, even if nothing is to be run."""
    policy = policy_of()
    policy.add_request(distinct("a", 10, 1), 0.0)
    step_of(policy)
    assert policy.load().num_used_blocks == 1
    assert drained(policy) == []
    assert policy.load().num_free_blocks == policy.load().num_total_blocks
    assert policy.snapshot().tkv == 0


def test_an_abort_in_any_state_frees_everything() -> None:
    """Waiting, running; the others go on."""
    policy = policy_of()
    for name in "abc":
        policy.add_request(distinct(name, 70, 9), 0.0)
    step_of(policy)
    step_of(policy)
    assert policy.abort_requests([RequestId("a"), RequestId("c")]) == ("a", "c")
    policy.check_integrity()
    step = step_of(policy)
    assert told(step) == ["b"]
    assert step.finished_request_ids == ("a",)
    drained(policy)
    assert policy.load().num_free_blocks == policy.load().num_total_blocks


def test_an_early_end_leaves_its_promise_to_others() -> None:
    """Blocks that were promised and never held are free again."""
    policy = policy_of(num_blocks=8)
    policy.add_request(request_spec("a", 10, 448, stop=(1,)), 0.0)
    policy.add_request(distinct("b", 10, 448), 0.0)
    assert steps_of(policy, 2) == [["a!"], ["b!"]]


def test_a_prompt_joins_a_batch_whose_padding_is_cut_no_further_than_it_reaches() -> None:
    """join=wait: 70 fits at 130; once a has left, 64 of b's 120 pads are cut, but not below 70."""
    policy = policy_of(options=WAIT)
    policy.add_request(distinct("a", 120, 3), 0.0)
    policy.add_request(distinct("b", 8, 60), 0.0)
    steps_of(policy, 4)
    assert policy.snapshot().running == ("b",)
    policy.add_request(distinct("c", 70, 5), 0.0)
    joined, both = step_of(policy), step_of(policy)
    assert told(joined) == ["c!"]
    assert (padded(joined).tkv, padded(joined).left_pads) == (130, (60,))
    assert padded(both).left_pads == (60, 120)


def test_the_same_calls_give_the_same_decisions() -> None:
    """Deterministic."""
    one, two = policy_of(), policy_of()
    specs = [distinct(f"r{i}", 7 * i + 1, 3 + i) for i in range(8)]
    for spec in specs:
        one.add_request(spec, 0.0)
        two.add_request(spec, 0.0)
    for _ in range(30):
        steps = one.schedule(0.0), two.schedule(0.0)
        assert steps[0] == steps[1]
        for policy, step in zip((one, two), steps, strict=True):
            if step is not None:
                policy.update_from_output(step, answered(step), 0.0)
