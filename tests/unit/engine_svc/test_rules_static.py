"""The checker of `static` can say no."""

from dataclasses import replace

import pytest

from engine_svc.core.batching import BatchingOptions, WarmupShape
from engine_svc.core.outputs import Ragged, StaticShape
from engine_svc.core.params import RequestId
from engine_svc.core.scheduler.base import SchedulerConfig
from tests.support.made_steps import (
    Scene,
    grown,
    known,
    play,
    scene,
    sequence,
    with_layout,
    with_more,
    with_step,
)
from tests.support.requests import request_spec
from tests.support.rules.static import StaticRules

SHAPES = (
    WarmupShape(batch_size=4, prompt_len=128, new_tokens=4),
    WarmupShape(batch_size=2, prompt_len=128, new_tokens=4),
    WarmupShape(batch_size=1, prompt_len=64, new_tokens=8),
)
CONFIG = SchedulerConfig(
    num_blocks=32,
    block_size=64,
    max_model_len=132,
    max_num_seqs=4,
    max_num_batched_tokens=512,
    options=BatchingOptions(shapes=SHAPES),
)
A = known("a", 10, 3)
B = known("b", 100, 3, first_token=2000, arrival_idx=1)
MISFIT = known("m", 20, 8, first_token=4000, arrival_idx=2)
LATE = known("late", 5, 2, first_token=3000, arrival_idx=3)

PROMPTS = StaticShape(
    prompt_len=128,
    new_tokens=4,
    batch_size=2,
    kv_len=128,
    rows=(RequestId("a"), RequestId("b")),
    left_pads=(118, 28),
)
FIRST = scene(
    1,
    [sequence(A, (1,), (0, 10), block_size=64), sequence(B, (2, 3), (0, 100), block_size=64)],
    PROMPTS,
    [A, B, MISFIT],
)
LAST = scene(
    2,
    [
        sequence(grown(A, 1), (1,), (10, 11), block_size=64),
        sequence(grown(B, 1), (2, 3), (100, 101), block_size=64),
    ],
    replace(PROMPTS, kv_len=129),
    [grown(A, 1), grown(B, 1), MISFIT, LATE],
)
JOINED = sequence(LATE, (9,), (0, 5), block_size=64)

BROKEN_FIRST: dict[str, tuple[str, Scene]] = {
    "nobody left to the next": (
        "the batch is matched in order",
        with_step(FIRST, sequences=FIRST.step.sequences[:1]),
    ),
    "the other way round": (
        "the batch is matched in order",
        with_step(FIRST, sequences=FIRST.step.sequences[::-1]),
    ),
    "a shape that comes later": ("the first shape that fits", with_layout(FIRST, batch_size=4)),
    "a shape of nobody": ("the first shape that fits", with_layout(FIRST, prompt_len=192)),
    "half a prompt": (
        "all known tokens",
        with_step(
            FIRST,
            sequences=(
                FIRST.step.sequences[0],
                sequence(B, (2, 3), (0, 64), block_size=64),
            ),
        ),
    ),
}
BROKEN_LAST: dict[str, tuple[str, Scene]] = {
    "another layout": ("the layout", with_step(LAST, layout=Ragged())),
    "somebody joins": ("nobody joins or misses a step", with_more(LAST, JOINED)),
    "somebody waits": (
        "nobody joins or misses a step",
        with_step(LAST, sequences=LAST.step.sequences[1:]),
    ),
    "another shape": ("the first shape that fits", with_layout(LAST, batch_size=4)),
    "another KV length": ("KV length", with_layout(LAST, kv_len=128)),
    "rows that change": ("rows", with_layout(LAST, rows=(RequestId("b"), RequestId("a")))),
    "a row too many": ("rows", with_layout(LAST, rows=(*PROMPTS.rows, None))),
    "another left padding": ("left padding", with_layout(LAST, left_pads=(117, 28))),
}


def test_steps_that_keep_the_rules_of_static_pass() -> None:
    """A batch, one of whose members leaves; then the next batch, with who came later."""
    ended = scene(
        3,
        [sequence(grown(B, 2), (2, 3), (101, 102), block_size=64)],
        replace(PROMPTS, kv_len=130, rows=(None, RequestId("b"))),
        [grown(B, 2), MISFIT, LATE],
    )
    alone = StaticShape(
        prompt_len=64,
        new_tokens=8,
        batch_size=1,
        kv_len=64,
        rows=(RequestId("m"),),
        left_pads=(44,),
    )
    following = scene(4, [sequence(MISFIT, (1,), (0, 20), block_size=64)], alone, [MISFIT, LATE])
    told = with_step(ended, finished_request_ids=(RequestId("a"),))
    told_next = with_step(following, finished_request_ids=(RequestId("b"),))
    play(StaticRules(CONFIG), [FIRST, LAST, told, told_next])


@pytest.mark.parametrize("name", BROKEN_FIRST)
def test_a_batch_that_starts_wrongly_is_refused(name: str) -> None:
    """With the name of the rule."""
    rule, broken = BROKEN_FIRST[name]
    with pytest.raises(AssertionError, match=rule):
        play(StaticRules(CONFIG), [broken])


@pytest.mark.parametrize("name", BROKEN_LAST)
def test_a_decode_that_breaks_a_rule_of_static_is_refused(name: str) -> None:
    """With the name of the rule."""
    rule, broken = BROKEN_LAST[name]
    rules = StaticRules(CONFIG)
    play(rules, [FIRST])
    with pytest.raises(AssertionError, match=rule):
        play(rules, [broken])


def test_what_can_run_alone_fits_some_shape() -> None:
    """Prompt and new tokens of one shape, not of two."""
    rules = StaticRules(CONFIG)
    assert rules.can_run_alone(request_spec("x", 128, 4))
    assert rules.can_run_alone(request_spec("x", 64, 8))
    assert not rules.can_run_alone(request_spec("x", 65, 8))
    assert not rules.can_run_alone(request_spec("x", 129, 1))
