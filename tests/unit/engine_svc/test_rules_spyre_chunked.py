"""The checker of `spyre_chunked` can say no."""

from dataclasses import replace

import pytest

from engine_svc.core.batching import BatchingOptions, OverLimit
from engine_svc.core.outputs import PaddedPaged
from engine_svc.core.params import RequestId
from engine_svc.core.scheduler.base import SchedulerConfig
from tests.support.made_steps import (
    Scene,
    block_ids,
    grown,
    known,
    play,
    scene,
    sequence,
    with_layout,
    with_sequence,
    with_step,
)
from tests.support.requests import request_spec
from tests.support.rules.known import Known
from tests.support.rules.spyre_chunked import SpyreChunkedRules

A = known("a", 10, 8)
B = known("b", 300, 4, first_token=2000, arrival_idx=1)
C = known("c", 5, 4, first_token=8000, arrival_idx=2)


def config(**options: object) -> SchedulerConfig:
    return SchedulerConfig(
        num_blocks=20,
        block_size=64,
        max_model_len=512,
        max_num_seqs=3,
        max_num_batched_tokens=128,
        options=BatchingOptions(**options),  # type: ignore[arg-type]  # any option
    )


def chunk(
    step: int, request: Known, table: tuple[int, ...], span: tuple[int, int], layout: PaddedPaged
) -> Scene:
    """A chunk of one prompt; all others of the play live too."""
    return scene(step, [sequence(request, table, span, block_size=64)], layout, [request])


def chunk_layout(chunk_idx: int, *, left: int, write: tuple[int, ...]) -> PaddedPaged:
    return PaddedPaged(
        tkv=128 * (chunk_idx + 1),
        left_pads=(left,),
        num_rows=1,
        query_len=128,
        write_blocks=block_ids(*write),
    )


def alive(one: Scene, *requests: Known) -> Scene:
    """The scene where these live."""
    return replace(one, requests={request.spec.request_id: request for request in requests})


def decode(
    step: int, rows: list[tuple[Known, tuple[int, ...]]], tkv: int, left_pads: tuple[int, ...]
) -> Scene:
    """A decode step of rows with these tables."""
    sequences = [
        sequence(
            request, table, (len(request.token_ids) - 1, len(request.token_ids)), block_size=64
        )
        for request, table in rows
    ]
    layout = PaddedPaged(tkv=tkv, left_pads=left_pads, num_rows=len(rows), query_len=1)
    return scene(step, sequences, layout, [request for request, _ in rows])


A1, A2, A3 = (grown(A, count) for count in (1, 2, 3))
B1 = grown(B, 1)
PLAY = [
    alive(chunk(1, A, (1,), (0, 10), chunk_layout(0, left=64, write=(0, 1))), A, B, C),
    alive(decode(2, [(A1, (1,))], 11, (0,)), A1, B, C),
    # 300 tokens are 5 blocks, 3 chunks are 6: one block of padding.
    alive(chunk(3, B, (2,), (0, 64), chunk_layout(0, left=64, write=(0, 2))), A2, B, C),
    alive(decode(4, [(A2, (1,))], 12, (0,)), A2, B, C),
    alive(chunk(5, B, (2, 3, 4), (64, 192), chunk_layout(1, left=64, write=(3, 4))), A3, B, C),
]
CHUNK_0, CHUNK_1 = PLAY[2], PLAY[4]
SKIPPED = replace(CHUNK_1, step=replace(CHUNK_1.step, step=4))

BROKEN_CHUNKS: dict[str, tuple[str, int, Scene]] = {
    "another length": (
        "length of a chunk",
        2,
        with_layout(CHUNK_0, query_len=64, write_blocks=(2,)),
    ),
    "other left padding": ("left padding of a prompt", 2, with_layout(CHUNK_0, left_pads=(0,))),
    "another border": (
        "the borders of a chunk",
        2,
        with_step(CHUNK_0, sequences=(sequence(B, (2, 3), (0, 128), block_size=64),)),
    ),
    "another tkv": ("tkv of a chunk", 4, with_layout(CHUNK_1, tkv=192)),
    "no decode between": ("decodes between two chunks", 3, alive(SKIPPED, A2, B, C)),
    "another prompt between": (
        "one prompt at a time",
        4,
        alive(chunk(5, C, (9,), (0, 5), chunk_layout(0, left=64, write=(0, 9))), A3, B, C),
    ),
    "padding that is written": (
        "where the blocks go",
        2,
        with_layout(CHUNK_0, write_blocks=(2, 2)),
    ),
    "a block that is thrown away": (
        "where the blocks go",
        4,
        with_layout(CHUNK_1, write_blocks=(0, 4)),
    ),
    "half a block written": (
        "a block is written whole or not at all",
        4,
        with_sequence(
            CHUNK_1,
            0,
            slot_mapping=(-1,) * 10 + CHUNK_1.step.sequences[0].slot_mapping[10:],
        ),
    ),
    "a table that runs ahead": (
        "blocks of a prompt's table",
        4,
        with_sequence(CHUNK_1, 0, block_table=(2, 3, 4, 5)),
    ),
    "a prompt out of turn": (
        "start in order of priority, then arrival",
        2,
        alive(chunk(3, C, (9,), (0, 5), chunk_layout(0, left=64, write=(0, 9))), A2, B, C),
    ),
}


@pytest.mark.parametrize("name", BROKEN_CHUNKS)
def test_a_chunk_that_breaks_a_rule_is_refused(name: str) -> None:
    """With the name of the rule."""
    rule, num_before, broken = BROKEN_CHUNKS[name]
    rules = SpyreChunkedRules(config())
    play(rules, PLAY[:num_before])
    with pytest.raises(AssertionError, match=rule):
        play(rules, [broken])


def test_chunks_that_keep_the_rules_pass() -> None:
    """Two chunks of a prompt, with decodes of another between; or without, where none are asked."""
    play(SpyreChunkedRules(config()), PLAY)
    at_once = [*PLAY[:3], alive(SKIPPED, A2, B, C)]
    play(SpyreChunkedRules(config(interleave=False)), at_once)


# Rows of one and of two blocks: the shorter one is moved by a block.
D = known("d", 70, 6, first_token=5000, arrival_idx=1)
D1, D2, D3 = (grown(D, count) for count in (1, 2, 3))
TWO_ROWS = [
    alive(PLAY[0], A, D),
    alive(decode(2, [(A1, (1,))], 11, (0,)), A1, D),
    alive(chunk(3, D, (2, 3), (0, 70), chunk_layout(0, left=0, write=(2, 3))), A2, D),
]
BOTH = decode(4, [(D1, (2, 3)), (A2, (1,))], 76, (0, 64))
D_ALONE = with_step(
    alive(decode(4, [(D1, (2, 3))], 71, (0,)), A2, D1), paused_request_ids=(RequestId("a"),)
)
A_NEXT = with_step(
    alive(decode(5, [(A2, (1,))], 12, (0,)), A2, D2), paused_request_ids=(RequestId("d"),)
)
D_AGAIN = with_step(
    alive(decode(5, [(D2, (2, 3))], 72, (0,)), A2, D2), paused_request_ids=(RequestId("a"),)
)
E_STARTS = alive(chunk(5, C, (9,), (0, 5), chunk_layout(0, left=64, write=(0, 9))), A2, D2, C)


@pytest.mark.parametrize(
    ("rule", "broken"),
    [
        ("left padding of the rows", with_layout(BOTH, left_pads=(0, 0))),
        ("tkv is that of the longest row", with_layout(BOTH, tkv=71)),
        ("whole blocks of padding", with_sequence(BOTH, 0, block_offset=1)),
        ("blocks of the table", with_sequence(BOTH, 1, block_table=(1, 7))),
        ("who is left out is paused", with_step(D_ALONE, paused_request_ids=())),
        ("only who exceeds the volume is paused", D_ALONE),
    ],
)
def test_a_decode_that_breaks_a_rule_is_refused(rule: str, broken: Scene) -> None:
    """With the name of the rule."""
    rules = SpyreChunkedRules(config())
    play(rules, TWO_ROWS)
    with pytest.raises(AssertionError, match=rule):
        play(rules, [broken])


def test_rows_of_different_length_end_in_one_block() -> None:
    """2 rows at 76 are 152: exactly the limit passes, one less is refused."""
    play(SpyreChunkedRules(config(max_batch_tkv=152)), [*TWO_ROWS, BOTH])
    with pytest.raises(AssertionError, match=r"rows \* tkv: at most 151, got 152"):
        play(SpyreChunkedRules(config(max_batch_tkv=151)), [*TWO_ROWS, BOTH])


def test_whoever_is_paused_has_the_next_turn() -> None:
    """And nobody starts a prompt meanwhile."""
    limited = config(max_batch_tkv=151)
    play(SpyreChunkedRules(limited), [*TWO_ROWS, D_ALONE, A_NEXT])
    for rule, broken in (
        ("whoever was left out longest is next", D_AGAIN),
        ("no prompt while somebody is paused", E_STARTS),
    ):
        rules = SpyreChunkedRules(limited)
        play(rules, [*TWO_ROWS, D_ALONE])
        with pytest.raises(AssertionError, match=rule):
            play(rules, [broken])


def test_nobody_is_paused_where_joining_looks_ahead() -> None:
    """Who could exceed the limit later does not join."""
    rules = SpyreChunkedRules(config(max_batch_tkv=151, over_limit=OverLimit.LOOK_AHEAD))
    with pytest.raises(AssertionError, match="nobody is paused"):
        play(rules, [*TWO_ROWS, D_ALONE])


# 6 blocks in 3 chunks; the second time 5 are cached: 2 chunks are spared, 1 block is recomputed.
OWNER = known("owner", 384, 2, first_token=5000)
TWIN = known("twin", 384, 2, first_token=5000, arrival_idx=1)
STRANGER = known("twin", 384, 2, first_token=9000, arrival_idx=1)
OWNED = [
    alive(
        chunk(
            idx + 1,
            OWNER,
            tuple(range(1, 3 + 2 * idx)),
            (128 * idx, 128 * idx + 128),
            chunk_layout(idx, left=0, write=(1 + 2 * idx, 2 + 2 * idx)),
        ),
        OWNER,
        TWIN,
    )
    for idx in range(3)
]
TWIN_TABLE = (1, 2, 3, 4, 5, 7)


def twin_chunk(request: Known, *, num_unwritten: int, write: tuple[int, ...]) -> Scene:
    """The last chunk of a prompt whose first five blocks are the owner's."""
    cached = sequence(request, TWIN_TABLE, (256, 384), block_size=64, num_unwritten=num_unwritten)
    layout = chunk_layout(2, left=0, write=write)
    return scene(4, [cached], layout, [grown(OWNER, 1), request])


def test_a_prompt_may_begin_with_blocks_of_another() -> None:
    """Whole chunks are spared; a cached block of the next one is computed, not written."""
    rules = SpyreChunkedRules(config(interleave=False))
    play(rules, [*OWNED, twin_chunk(TWIN, num_unwritten=64, write=(0, 7))])


@pytest.mark.parametrize(
    ("rule", "broken"),
    [
        (
            "cached tokens are those of the sequence",
            twin_chunk(STRANGER, num_unwritten=64, write=(0, 7)),
        ),
        ("a shared block is not written", twin_chunk(TWIN, num_unwritten=0, write=(5, 7))),
        ("only what is there is not written", twin_chunk(TWIN, num_unwritten=128, write=(0, 0))),
    ],
)
def test_a_prompt_that_takes_what_is_not_its_own_is_refused(rule: str, broken: Scene) -> None:
    """Blocks are shared only where all tokens so far are equal, and never written again."""
    rules = SpyreChunkedRules(config(interleave=False))
    known_now = {**OWNED[0].requests, **broken.requests}
    play(rules, [replace(one, requests=known_now | dict(one.requests)) for one in OWNED])
    with pytest.raises(AssertionError, match=rule):
        play(rules, [broken])


def test_a_failed_chunk_leaves_nothing_to_share() -> None:
    """What it wrote is worth nothing."""
    rules = SpyreChunkedRules(config(interleave=False))
    play(rules, OWNED)
    rules.spoil(OWNED[2].step.sequences)
    with pytest.raises(AssertionError, match="only what is there is not written"):
        play(rules, [twin_chunk(TWIN, num_unwritten=64, write=(0, 7))])


@pytest.mark.parametrize(
    ("rule", "table"),
    [
        ("a shared block is not written", (1, 2, 3, 4)),
        ("a shared block is full and computed", (1, 2, 3, 5, 4)),
    ],
)
def test_a_block_that_is_not_full_is_not_shared(rule: str, table: tuple[int, ...]) -> None:
    """The owner has not computed it to its end."""
    short = known("owner", 200, 2, first_token=5000)
    begun = [
        alive(chunk(1, short, (1, 2), (0, 128), chunk_layout(0, left=0, write=(1, 2))), short),
        alive(
            chunk(2, short, (1, 2, 3, 4), (128, 200), chunk_layout(1, left=0, write=(3, 4))), short
        ),
    ]
    taken = scene(
        3,
        [sequence(TWIN, table, (128, 256), block_size=64, num_unwritten=64)],
        chunk_layout(1, left=0, write=(0, table[3])),
        [grown(short, 1), TWIN],
    )
    rules = SpyreChunkedRules(config(interleave=False))
    play(rules, begun)
    with pytest.raises(AssertionError, match=rule):
        play(rules, [taken])


def test_nothing_is_shared_without_prefix_caching() -> None:
    """A prompt begins at its beginning."""
    rules = SpyreChunkedRules(config(interleave=False, prefix_caching=False))
    play(rules, OWNED)
    with pytest.raises(AssertionError, match="positions are consecutive: expected 0, got 256"):
        play(rules, [twin_chunk(TWIN, num_unwritten=64, write=(0, 7))])


def test_a_request_counts_with_its_own_length() -> None:
    """300 tokens and 20 new ones need 320 positions of context and blocks; 319 of volume."""
    assert SpyreChunkedRules(config(max_batch_tkv=319)).can_run_alone(request_spec("x", 300, 20))
    limited = SpyreChunkedRules(config(max_batch_tkv=318))
    assert not limited.can_run_alone(request_spec("x", 300, 20))
    small = SpyreChunkedRules(replace(config(), num_blocks=5))
    assert small.can_run_alone(request_spec("x", 300, 20))
    assert not small.can_run_alone(request_spec("x", 300, 21))
    assert not SpyreChunkedRules(config()).can_run_alone(request_spec("x", 500, 13))
