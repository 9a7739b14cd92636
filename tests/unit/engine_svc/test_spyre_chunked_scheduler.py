"""The spyre_chunked policy beyond its traces: turns, limits, overtaking, capacity."""

from dataclasses import replace

import pytest

from engine_svc.core.batching import BatchingOptions, OverLimit
from engine_svc.core.errors import StartupError
from engine_svc.core.params import RequestId
from engine_svc.core.scheduler.base import Bounds, Fits, Later, Never
from engine_svc.core.scheduler.chunked_admission import MAX_OVERTAKEN
from engine_svc.core.scheduler.spyre_chunked import SpyreChunkedScheduler
from engine_svc.core.scheduler.spyre_limits import MAX_PROMPTS_IN_A_ROW
from tests.support.driving import distinct, drained, padded, spyre_config, step_of, steps_of, told

STRAIGHT = BatchingOptions(interleave=False)


def policy_of(**bounds: object) -> SpyreChunkedScheduler:
    return SpyreChunkedScheduler(spyre_config(**bounds))  # type: ignore[arg-type] # passed on


def test_a_chunk_is_whole_blocks() -> None:
    """Refused when settled and when made, with a length that would do."""
    bounds = Bounds(
        model_max_len=1024,
        max_model_len=512,
        max_num_seqs=4,
        max_num_batched_tokens=128,
        block_size=None,
        options=BatchingOptions(),
    )
    assert SpyreChunkedScheduler.settle(bounds).block_size == 64
    with pytest.raises(StartupError, match=r"100: .* multiple of 64: take 64"):
        SpyreChunkedScheduler.settle(replace(bounds, max_num_batched_tokens=100))
    with pytest.raises(StartupError, match=r"200: .* take 192"):
        policy_of(chunk_len=200)


def test_a_decode_step_lies_between_two_chunks() -> None:
    """While somebody decodes; the prompt that is on goes before new ones."""
    policy = policy_of()
    policy.add_request(distinct("a", 10, 9), 0.0)
    policy.add_request(distinct("long", 300, 2), 0.0)
    policy.add_request(distinct("b", 10, 2), 0.0)
    assert steps_of(policy, 8) == [
        ["a!"],
        ["a"],
        ["long!"],
        ["a"],
        ["long!"],
        ["a"],
        ["long!"],
        ["long", "a"],
    ]
    assert policy.snapshot().waiting == ("b",)


def test_without_interleaving_chunks_follow_each_other() -> None:
    """And new prompts, while there are seats."""
    policy = policy_of(options=STRAIGHT, max_num_seqs=2)
    policy.add_request(distinct("a", 10, 9), 0.0)
    policy.add_request(distinct("long", 300, 2), 0.0)
    policy.add_request(distinct("b", 10, 2), 0.0)
    assert steps_of(policy, 5) == [["a!"], ["long!"], ["long!"], ["long!"], ["long", "a"]]


def test_the_first_of_a_priority_starts() -> None:
    """A lower number, then arrival."""
    policy = policy_of(options=STRAIGHT)
    policy.add_request(replace(distinct("late", 5, 1), priority=1), 0.0)
    policy.add_request(distinct("a", 5, 1), 0.0)
    policy.add_request(distinct("b", 5, 1), 0.0)
    assert steps_of(policy, 3) == [["a!"], ["b!"], ["late!"]]


def test_nobody_overtakes_a_head_that_lacks_blocks() -> None:
    """Its prompt and max_tokens must be promised."""
    policy = policy_of(num_blocks=8)
    policy.add_request(distinct("a", 10, 200), 0.0)
    policy.add_request(distinct("big", 10, 300), 0.0)
    policy.add_request(distinct("b", 10, 2), 0.0)
    assert steps_of(policy, 3) == [["a!"], ["a"], ["a"]]
    assert policy.snapshot().waiting == ("big", "b")


def limited(volume: int, **options: object) -> SpyreChunkedScheduler:
    """A policy whose decode steps may not exceed a volume."""
    made = BatchingOptions(max_batch_tkv=volume, **options)  # type: ignore[arg-type] # passed on
    return policy_of(options=made)


def test_whoever_exceeds_the_volume_is_left_out_in_turn() -> None:
    """Three rows, room for two: all end, none goes more than two decodes ahead of another."""
    policy = limited(2 * 60)
    for name in "abc":
        policy.add_request(distinct(name, 40, 16), 0.0)
    steps = drained(policy)
    assert all(padded(s).num_rows * padded(s).tkv <= 120 for s in steps if padded(s).query_len == 1)
    counts = dict.fromkeys("abc", 0)
    for step in steps:
        if padded(step).query_len == 1:
            for name in told(step):
                counts[name] += 1
        if step.paused_request_ids and max(counts.values()) < 15:
            assert max(counts.values()) - min(counts.values()) <= 4
    assert set(counts.values()) == {15}


def test_paused_requests_are_told_and_hold_their_blocks() -> None:
    """Nobody new starts while somebody is paused."""
    policy = limited(64)
    policy.add_request(distinct("a", 30, 9), 0.0)
    policy.add_request(distinct("b", 30, 9), 0.0)
    policy.add_request(distinct("c", 30, 9), 0.0)
    seen = [step_of(policy) for _ in range(5)]
    assert [told(step) for step in seen] == [["a!"], ["a"], ["b!"], ["b", "a"], ["c!"]]
    step = step_of(policy)
    assert told(step) == ["c", "b"]
    assert step.paused_request_ids == ("a",)
    assert policy.snapshot().paused == ("a",)
    assert set(policy.snapshot().block_tables) == {"a", "b", "c"}
    assert policy.load().num_running == 3
    policy.add_request(distinct("d", 1, 1), 0.0)
    assert steps_of(policy, 3) == [["a"], ["c"], ["b"]]


def test_prompts_start_past_paused_ones_when_nobody_decodes_but_not_for_ever() -> None:
    """Else a stream of one-token requests would keep them waiting."""
    policy = limited(64)
    policy.add_request(distinct("a", 30, 9), 0.0)
    policy.add_request(distinct("b", 34, 3), 0.0)
    steps_of(policy, 4)
    assert (policy.snapshot().running, policy.snapshot().paused) == (("b",), ("a",))
    for idx in range(2 * MAX_PROMPTS_IN_A_ROW):
        policy.add_request(distinct(f"x{idx}", 30, 1), 0.0)
    assert steps_of(policy, 4) == [["a"], ["b"], ["x0!"], ["x1!"]]
    seen = [told(step_of(policy)) for _ in range(MAX_PROMPTS_IN_A_ROW)]
    assert seen.index(["a"]) == MAX_PROMPTS_IN_A_ROW - 2


def test_looking_ahead_keeps_out_whoever_could_exceed_the_volume() -> None:
    """A smaller request behind it may go first."""
    policy = limited(2 * 256 - 1, over_limit=OverLimit.LOOK_AHEAD)
    policy.add_request(distinct("a", 60, 60), 0.0)
    policy.add_request(distinct("big", 128, 200), 0.0)
    policy.add_request(distinct("b", 60, 9), 0.0)
    assert steps_of(policy, 3) == [["a!"], ["a"], ["b!"]]
    for step in drained(policy):
        if padded(step).query_len == 1:
            assert padded(step).num_rows * padded(step).tkv <= 511


def test_a_request_is_overtaken_only_so_often() -> None:
    """Then everybody waits until it fits."""
    policy = limited(2 * 320, over_limit=OverLimit.LOOK_AHEAD)
    policy.add_request(distinct("a", 60, 250), 0.0)
    step_of(policy)
    policy.add_request(distinct("big", 128, 300), 0.0)
    for index in range(MAX_OVERTAKEN + 20):
        policy.add_request(distinct(f"s{index}", 10, 1), 0.0)
    order = [name for step in drained(policy) for name in told(step) if name.endswith("!")]
    assert order.index("big!") == MAX_OVERTAKEN


@pytest.mark.parametrize(("interleave", "num_chunks"), [(True, 2), (False, 0)])
def test_the_volume_is_checked_before_the_last_chunk(*, interleave: bool, num_chunks: int) -> None:
    """Interleaved: the chunks before it are computed meanwhile. Straight: before the first."""
    policy = limited(2 * 320 - 1, over_limit=OverLimit.LOOK_AHEAD, interleave=interleave)
    policy.add_request(distinct("a", 60, 30), 0.0)
    step_of(policy)
    policy.add_request(distinct("long", 300, 210), 0.0)
    seen: list[str] = []
    while "a" in policy.snapshot().running:
        seen += told(step_of(policy))
    assert seen.count("long!") == num_chunks
    assert told(step_of(policy)) == ["long!"]


def test_geometry_of_chunks_and_of_decodes() -> None:
    """Whole chunks, the padding of the whole prompt, the length that the chunk reaches."""
    policy = policy_of()
    policy.add_request(distinct("a", 150, 3), 0.0)
    policy.add_request(distinct("b", 20, 3), 0.0)
    layouts = [padded(step_of(policy)) for _ in range(5)]
    told_ = [(x.tkv, x.left_pads, x.query_len, x.num_rows) for x in layouts]
    assert told_ == [
        (128, (64,), 128, 1),
        (256, (64,), 128, 1),
        (151, (0,), 1, 1),
        (128, (64,), 128, 1),
        (152, (128, 0), 1, 2),
    ]
    assert layouts[4].write_blocks == ()


def test_nobody_of_a_lower_priority_overtakes() -> None:
    """Whoever is urgent and refused for the volume is waited for."""
    policy = limited(2 * 256 - 1, over_limit=OverLimit.LOOK_AHEAD)
    policy.add_request(distinct("a", 60, 60), 0.0)
    policy.add_request(distinct("urgent", 128, 200), 0.0)
    policy.add_request(replace(distinct("b", 60, 9), priority=1), 0.0)
    assert steps_of(policy, 4) == [["a!"], ["a"], ["a"], ["a"]]


@pytest.mark.parametrize(
    ("bounds", "fits", "misfits", "reason"),
    [
        ({"max_model_len": 128}, (100, 28), (100, 29), "context of 128"),
        ({"num_blocks": 2}, (100, 28), (100, 29), "needs 3 KV blocks; there are 2"),
        ({"options": BatchingOptions(max_batch_tkv=100)}, (90, 11), (90, 12), "KV length of 101"),
        (
            {"options": BatchingOptions(max_batch_tkv=200, min_decode_rows=2)},
            (90, 11),
            (90, 12),
            "in 2 rows; max_batch_tkv is 200",
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


def test_capacity_tells_what_must_wait() -> None:
    """For a seat, for blocks, or behind others."""
    policy = policy_of(max_num_seqs=2, num_blocks=8)
    policy.add_request(distinct("a", 100, 150), 0.0)
    assert policy.capacity(distinct("x", 10, 1)) == Later()
    step_of(policy)
    assert policy.capacity(distinct("x", 10, 1)) == Fits()
    assert policy.capacity(distinct("x", 200, 57)) == Later()
    policy.add_request(distinct("b", 10, 9), 0.0)
    steps_of(policy, 2)
    assert policy.capacity(distinct("x", 10, 1)) == Later()


def test_capacity_asks_prompts_pauses_and_volume() -> None:
    """There is room now only if the next step could take it."""
    policy = policy_of()
    policy.add_request(distinct("long", 300, 1), 0.0)
    step_of(policy)
    assert policy.capacity(distinct("x", 10, 1)) == Later()
    paused = limited(64)
    paused.add_request(distinct("a", 30, 9), 0.0)
    paused.add_request(distinct("b", 34, 3), 0.0)
    steps_of(paused, 4)
    assert paused.capacity(distinct("x", 10, 1)) == Later()
    ahead = limited(2 * 256 - 1, over_limit=OverLimit.LOOK_AHEAD)
    ahead.add_request(distinct("a", 60, 60), 0.0)
    step_of(ahead)
    assert ahead.capacity(distinct("x", 128, 200)) == Later()
    assert ahead.capacity(distinct("x", 60, 9)) == Fits()


def test_copies_of_rows_are_told_and_count() -> None:
    """A lone row is decoded twice."""
    policy = limited(2 * 64, min_decode_rows=2)
    policy.add_request(distinct("a", 10, 3), 0.0)
    assert padded(step_of(policy)).num_rows == 1
    assert padded(step_of(policy)).num_rows == 2


@pytest.mark.parametrize(("limit", "next_step"), [(3 * 256, ["b!"]), (3 * 256 - 1, ["a"])])
def test_looking_ahead_counts_copies_and_the_last_token(limit: int, next_step: list[str]) -> None:
    """At least three rows; b ends at 125 + 4, rounded up and with slack at 192 + 64."""
    policy = limited(limit, over_limit=OverLimit.LOOK_AHEAD, min_decode_rows=3)
    policy.add_request(distinct("a", 70, 100), 0.0)
    step_of(policy)
    step_of(policy)
    policy.add_request(distinct("b", 125, 5), 0.0)
    assert told(step_of(policy)) == next_step


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8])
def test_an_abort_in_any_state_frees_everything(steps: int) -> None:
    """Waiting, between two chunks, decoding, paused."""
    policy = limited(256)
    for name, prompt in (("a", 60), ("b", 200), ("c", 60)):
        policy.add_request(distinct(name, prompt, 30), 0.0)
    for _ in range(steps):
        step_of(policy)
    for name in "abc":
        policy.abort_requests([RequestId(name)])
        policy.check_integrity()
    assert not policy.has_requests
    assert policy.schedule(0.0) is None
    load = policy.load()
    assert load.num_free_blocks + load.num_cached_blocks == load.num_total_blocks
    assert policy.snapshot().tkv == 0


def test_aborting_a_prompt_between_two_chunks_lets_the_next_one_start() -> None:
    """Nothing is left of it."""
    policy = policy_of()
    policy.add_request(distinct("a", 300, 2), 0.0)
    policy.add_request(distinct("b", 10, 2), 0.0)
    step_of(policy)
    policy.abort_requests([RequestId("a")])
    step = step_of(policy)
    assert told(step) == ["b!"]
    assert step.finished_request_ids == ("a",)
