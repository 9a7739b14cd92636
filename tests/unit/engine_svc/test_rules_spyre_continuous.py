"""The checker of `spyre_continuous`, and with it the rules of both paged policies, can say no."""

from dataclasses import replace

import pytest

from engine_svc.core.batching import BatchingOptions, Join
from engine_svc.core.outputs import PaddedPaged, Ragged
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
    with_more,
    with_sequence,
    with_step,
)
from tests.support.requests import request_spec
from tests.support.rules.spyre_continuous import SpyreContinuousRules

A = known("a", 10, 5)
B = known("b", 70, 3, first_token=2000, arrival_idx=1)
C = known("c", 64, 3, first_token=3000, arrival_idx=2)


def config(**options: object) -> SchedulerConfig:
    return SchedulerConfig(
        num_blocks=8,
        block_size=64,
        max_model_len=192,
        max_num_seqs=2,
        max_num_batched_tokens=64,
        options=BatchingOptions(**options),  # type: ignore[arg-type]  # any option
    )


# a: tkv 64, 54 positions of padding in its only block.
A_STARTS = scene(
    1,
    [sequence(A, (1,), (0, 10), block_size=64, block_offset=54)],
    PaddedPaged(tkv=64, left_pads=(54,), num_rows=1, query_len=64, write_blocks=block_ids(1)),
    [A, B, C],
)
# b is longer: the batch moves by 64 to tkv 128, b has 58 positions of padding.
B_JOINS = scene(
    2,
    [sequence(B, (2, 3), (0, 70), block_size=64, block_offset=58)],
    PaddedPaged(tkv=128, left_pads=(58,), num_rows=1, query_len=128, write_blocks=block_ids(2, 3)),
    [grown(A, 1), B, C],
)
# Both open a block.
BOTH = scene(
    3,
    [
        sequence(grown(B, 1), (2, 3, 5), (70, 71), block_size=64, block_offset=58),
        sequence(grown(A, 1), (1, 4), (10, 11), block_size=64, block_offset=54),
    ],
    PaddedPaged(tkv=129, left_pads=(58, 118), num_rows=2, query_len=1),
    [grown(A, 1), grown(B, 1), C],
)
# b has left: a's whole block of padding is cut away.
ALONE = with_step(
    scene(
        4,
        [sequence(grown(A, 2), (1, 4), (11, 12), block_size=64, block_offset=54)],
        PaddedPaged(tkv=66, left_pads=(54,), num_rows=1, query_len=1),
        [grown(A, 2), C],
    ),
    finished_request_ids=(RequestId("b"),),
)
WHOLE_PLAY = [A_STARTS, B_JOINS, BOTH, ALONE]
HALF_B = sequence(B, (2,), (0, 6), block_size=64, block_offset=58)
C_STARTS = sequence(C, (6,), (0, 64), block_size=64)

BROKEN: dict[str, tuple[str, int, Scene]] = {
    "another layout": ("the layout", 0, with_step(A_STARTS, layout=Ragged())),
    "a padding too many": (
        "a left padding per sequence",
        0,
        with_layout(A_STARTS, left_pads=(54, 0)),
    ),
    "two prompts in a step": (
        "one sequence per prompt step",
        1,
        with_layout(with_more(B_JOINS, C_STARTS), left_pads=(58, 0)),
    ),
    "a decode as a prompt": (
        "no decode in a prompt step",
        2,
        with_layout(
            with_step(BOTH, sequences=BOTH.step.sequences[:1]), left_pads=(58,), query_len=64
        ),
    ),
    "a prompt in two rows": ("a prompt has one row", 1, with_layout(B_JOINS, num_rows=2)),
    "a ragged prompt": ("padded to whole blocks", 1, with_layout(B_JOINS, query_len=70)),
    "a target too few": ("a target per block", 1, with_layout(B_JOINS, write_blocks=(2,))),
    "half a prompt": ("the whole prompt at once", 1, with_step(B_JOINS, sequences=(HALF_B,))),
    "other in-block padding": (
        "in-block padding",
        1,
        with_step(
            B_JOINS,
            sequences=(sequence(B, (2, 3), (0, 70), block_size=64, block_offset=0),),
        ),
    ),
    "a whole block of padding": (
        "left padding of a prompt",
        1,
        with_layout(B_JOINS, left_pads=(122,)),
    ),
    "an empty block on the right": (
        "length of the padded prompt",
        1,
        with_layout(B_JOINS, query_len=192, write_blocks=(2, 3, 4)),
    ),
    "a prompt thrown away": (
        "every block is written",
        1,
        with_layout(B_JOINS, write_blocks=(0, 3)),
    ),
    "a tkv below the prompt": ("tkv covers the prompt", 1, with_layout(B_JOINS, tkv=64)),
    "a prompt beyond the context": ("within the context", 1, with_layout(B_JOINS, tkv=256)),
    "a tkv inside a block": ("tkv ends in the last block", 1, with_layout(B_JOINS, tkv=129)),
    "an empty block in a prompt's table": (
        "every block is written",
        1,
        with_sequence(B_JOINS, 0, block_table=(2, 3, 6)),
    ),
    "a prompt among decodes": (
        "no prompt in a decode step",
        2,
        with_layout(with_more(BOTH, C_STARTS), left_pads=(58, 118, 0)),
    ),
    "a row left out": (
        "who is left out is paused",
        2,
        with_layout(with_step(BOTH, sequences=BOTH.step.sequences[:1]), left_pads=(58,)),
    ),
    "a row paused": (
        "nobody is paused",
        2,
        with_layout(
            with_step(
                BOTH,
                sequences=BOTH.step.sequences[:1],
                paused_request_ids=(RequestId("a"),),
            ),
            left_pads=(58,),
            num_rows=1,
        ),
    ),
    "a row too many": ("rows on the device", 2, with_layout(BOTH, num_rows=3)),
    "two tokens in a row": (
        "one token per row",
        2,
        with_step(
            BOTH,
            sequences=(
                sequence(grown(B, 2), (2, 3, 5), (70, 72), block_size=64, block_offset=58),
                BOTH.step.sequences[1],
            ),
        ),
    ),
    "a tkv beyond the context": ("tkv within the context", 2, with_layout(BOTH, tkv=193)),
    "another tkv": ("the shared tkv", 2, with_layout(BOTH, tkv=130)),
    "other left padding": ("left padding of the rows", 2, with_layout(BOTH, left_pads=(58, 54))),
    "rows that end apart": (
        "every row ends at tkv",
        2,
        with_step(
            BOTH,
            sequences=(
                BOTH.step.sequences[0],
                sequence(grown(A, 2), (1, 4), (11, 12), block_size=64, block_offset=54),
            ),
        ),
    ),
    "a slot elsewhere in the block": (
        "the slot follows from tkv",
        2,
        with_sequence(BOTH, 1, slot_mapping=(4 * 64 + 1,)),
    ),
    "an empty block in a row's table": (
        "blocks of the table",
        3,
        with_sequence(ALONE, 0, block_table=(1, 4, 6)),
    ),
    "padding that is not cut": (
        "the shared tkv",
        3,
        with_layout(ALONE, tkv=130, left_pads=(118,)),
    ),
}


def test_steps_that_keep_the_rules_of_spyre_continuous_pass() -> None:
    """A batch that is shifted for a long prompt, then cut when it leaves."""
    play(SpyreContinuousRules(config()), WHOLE_PLAY)


@pytest.mark.parametrize("name", BROKEN)
def test_a_step_that_breaks_a_rule_of_spyre_continuous_is_refused(name: str) -> None:
    """With the name of the rule."""
    rule, num_before, broken = BROKEN[name]
    rules = SpyreContinuousRules(config())
    play(rules, WHOLE_PLAY[:num_before])
    with pytest.raises(AssertionError, match=rule):
        play(rules, [broken])


def test_rows_times_tkv_ends_at_the_limit() -> None:
    """2 rows at tkv 129 are 258."""
    play(SpyreContinuousRules(config(max_batch_tkv=258)), WHOLE_PLAY)
    with pytest.raises(AssertionError, match=r"rows \* tkv: at most 257, got 258"):
        play(SpyreContinuousRules(config(max_batch_tkv=257)), WHOLE_PLAY)


def test_a_lone_row_is_doubled_where_the_device_wants_two() -> None:
    """And its copy counts."""
    doubled = [A_STARTS, B_JOINS, BOTH, with_layout(ALONE, num_rows=2)]
    play(SpyreContinuousRules(config(min_decode_rows=2)), doubled)
    with pytest.raises(AssertionError, match="rows on the device: expected 2, got 1"):
        play(SpyreContinuousRules(config(min_decode_rows=2)), WHOLE_PLAY)


def test_a_prompt_longer_than_the_batch_waits_unless_batches_are_shifted() -> None:
    """The batch is at 64, the prompt has 70 tokens."""
    with pytest.raises(AssertionError, match="a prompt longer than the batch waits"):
        play(SpyreContinuousRules(config(join=Join.WAIT)), WHOLE_PLAY)


def test_a_shift_beyond_the_context_is_refused() -> None:
    """All rows move."""
    bounds = replace(config(), max_model_len=64)
    with pytest.raises(AssertionError, match="tkv within the context: at most 64, got 128"):
        play(SpyreContinuousRules(bounds), [A_STARTS, with_layout(B_JOINS, tkv=64)])


@pytest.mark.parametrize(
    ("bounds", "rule"),
    [
        (replace(config(), block_size=32), "block size"),
        (replace(config(), max_model_len=100), "the context is whole blocks"),
    ],
)
def test_bounds_that_no_card_takes_are_refused(bounds: SchedulerConfig, rule: str) -> None:
    """Blocks have 64 positions."""
    with pytest.raises(AssertionError, match=rule):
        SpyreContinuousRules(bounds)


def test_a_request_counts_with_its_prompt_in_whole_blocks() -> None:
    """65 tokens and 64 new ones end at 128 + 63; 65 new ones at 192."""
    rules = SpyreContinuousRules(config(max_batch_tkv=191))
    assert rules.can_run_alone(request_spec("x", 65, 64))
    assert not rules.can_run_alone(request_spec("x", 65, 65))
    small = SpyreContinuousRules(replace(config(), num_blocks=2))
    assert small.can_run_alone(request_spec("x", 64, 65))
    assert not small.can_run_alone(request_spec("x", 64, 66))
    assert not small.can_run_alone(request_spec("x", 65, 2))
