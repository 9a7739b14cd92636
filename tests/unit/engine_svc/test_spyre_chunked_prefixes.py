"""What spyre_chunked finds cached and spares, and what nobody finds."""

from dataclasses import replace

from engine_svc.core.batching import BatchingOptions
from engine_svc.core.outputs import NO_SLOT, RowFault, RunnerOutput
from engine_svc.core.params import RequestId
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core.scheduler.spyre_chunked import SpyreChunkedScheduler
from tests.support.driving import drained, padded, spyre_config, step_of, steps_of
from tests.support.requests import request_spec

STRAIGHT = BatchingOptions(interleave=False)


def shared(name: str, prompt_len: int, max_tokens: int, *, own_from: int = 1 << 20) -> RequestSpec:
    """A request whose prompt is the same as others' up to `own_from`."""
    base = 100_000 * (1 + sum(map(ord, name)))
    ids = tuple(i + 1 if i < own_from else base + i for i in range(prompt_len))
    return request_spec(name, ids, max_tokens)


def test_a_prefix_that_is_cached_is_not_computed_again() -> None:
    """Whole chunks are spared; what was spared is told with the first output."""
    policy = SpyreChunkedScheduler(spyre_config(options=STRAIGHT))
    policy.add_request(shared("a", 300, 1), 0.0)
    drained(policy)
    assert policy.load().num_cached_blocks == 4
    policy.add_request(shared("b", 300, 1), 0.0)
    step = policy.schedule(0.0)
    assert step is not None
    (row,) = step.sequences
    assert (row.first_position, row.block_table[:4]) == (192, (1, 2, 3, 4))
    assert row.slot_mapping[:64] == (NO_SLOT,) * 64
    assert padded(step).write_blocks == (0, row.block_table[4])
    (output,) = policy.update_from_output(step, RunnerOutput(token_ids={RequestId("b"): (1,)}), 0.0)
    assert (output.is_first, output.num_cached_tokens) == (True, 192)


def test_without_prefix_caching_nothing_is_shared() -> None:
    """Every prompt is computed from its start."""
    policy = SpyreChunkedScheduler(spyre_config(options=BatchingOptions(prefix_caching=False)))
    for name in "ab":
        policy.add_request(shared(name, 300, 1), 0.0)
        assert step_of(policy).sequences[0].first_position == 0
        drained(policy)
    assert policy.load().num_cached_blocks == 0


def test_a_block_that_was_not_computed_is_never_found() -> None:
    """The prompt was given up in the middle: only its first chunk counts."""
    policy = SpyreChunkedScheduler(spyre_config())
    policy.add_request(shared("a", 500, 1), 0.0)
    step_of(policy)
    policy.abort_requests([RequestId("a")])
    policy.check_integrity()
    assert policy.load().num_cached_blocks == 2
    policy.add_request(shared("b", 500, 1), 0.0)
    assert step_of(policy).sequences[0].first_position == 128


def test_a_failed_chunk_is_not_found_either() -> None:
    """What a faulty step left in the cache is not to be trusted."""
    policy = SpyreChunkedScheduler(spyre_config())
    policy.add_request(shared("a", 300, 1), 0.0)
    step = policy.schedule(0.0)
    assert step is not None
    fault = RowFault(reason="STEP_FAILED", message="no")
    policy.update_from_output(step, RunnerOutput(token_ids={}, faults={RequestId("a"): fault}), 0.0)
    policy.check_integrity()
    assert policy.load().num_cached_blocks == 0


def test_what_a_request_computed_that_failed_is_not_found_any_longer() -> None:
    """Its broken values may have come from any of its chunks; those of others stay."""
    policy = SpyreChunkedScheduler(spyre_config(options=STRAIGHT, chunk_len=64))
    policy.add_request(shared("a", 70, 1), 0.0)
    drained(policy)
    policy.add_request(shared("b", 300, 9), 0.0)
    for _ in range(3):
        step_of(policy)
    assert policy.load().num_used_blocks == 4
    step = policy.schedule(0.0)
    assert step is not None
    fault = RowFault(reason="NON_FINITE_LOGITS", message="no")
    policy.update_from_output(step, RunnerOutput(token_ids={}, faults={RequestId("b"): fault}), 0.0)
    policy.check_integrity()
    assert policy.load().num_cached_blocks == 1
    policy.add_request(shared("c", 300, 1), 0.0)
    assert step_of(policy).sequences[0].first_position == 64


def test_cached_prompt_tokens_are_those_of_the_prompt() -> None:
    """Prior output that is cached is spared, too, and not told as prompt."""
    policy = SpyreChunkedScheduler(spyre_config(options=STRAIGHT, chunk_len=64))
    policy.add_request(shared("a", 300, 1), 0.0)
    drained(policy)
    prior = tuple(range(71, 301))
    spec = replace(shared("b", 70, 240), prior_output_token_ids=prior)
    policy.add_request(spec, 0.0)
    step = policy.schedule(0.0)
    assert step is not None
    assert step.sequences[0].first_position == 256
    (output,) = policy.update_from_output(step, RunnerOutput(token_ids={RequestId("b"): (1,)}), 0.0)
    assert output.num_cached_tokens == 70


def test_cached_blocks_are_given_up_for_new_ones_the_oldest_ends_first() -> None:
    """What others may still find is the start of the youngest prompt."""
    policy = SpyreChunkedScheduler(spyre_config(num_blocks=6, chunk_len=64))
    policy.add_request(shared("a", 200, 1, own_from=0), 0.0)
    drained(policy)
    policy.add_request(shared("b", 200, 1, own_from=0), 0.0)
    drained(policy)
    assert policy.load().num_cached_blocks == 5
    policy.add_request(shared("a", 200, 1, own_from=0), 0.0)
    assert step_of(policy).sequences[0].first_position == 128


def test_shared_blocks_are_counted_and_outlive_their_owner() -> None:
    """Two hold the prefix; the first ends; the second still reads it."""
    policy = SpyreChunkedScheduler(spyre_config(options=STRAIGHT))
    policy.add_request(shared("a", 200, 2), 0.0)
    policy.add_request(shared("b", 200, 9), 0.0)
    steps_of(policy, 3)
    refs = policy.snapshot().block_refs
    assert [refs[block] for block in policy.snapshot().block_tables[RequestId("b")]] == [2, 2, 2, 1]
    step_of(policy)
    assert policy.snapshot().running == ("b",)
    assert set(policy.snapshot().block_refs.values()) == {1}
    drained(policy)
    assert policy.load().num_used_blocks == 0
