"""The checker of `continuous`, and with it the rules that bind every policy, can say no."""

from dataclasses import replace

import pytest

from engine_svc.core.outputs import Ragged, SampleSpec
from engine_svc.core.params import RequestId
from tests.support.made_steps import (
    Scene,
    grown,
    known,
    play,
    scene,
    sequence,
    with_more,
    with_sequence,
    with_step,
)
from tests.support.requests import GREEDY, request_spec, scheduler_config
from tests.support.rules.continuous import ContinuousRules

SIZE = 4
A = known("a", 6, 4)
B = known("b", 5, 4, first_token=2000, arrival_idx=1)
C = known("c", 5, 3, first_token=3000, arrival_idx=2)
D = known("d", 1, 1, first_token=4000, arrival_idx=3)
LONG = known("c", 9, 3, first_token=3000, arrival_idx=2)
SAMPLE = SampleSpec(sampling=GREEDY, output_index=0)

FIRST = scene(
    1,
    [sequence(A, (1, 2), (0, 6), block_size=SIZE), sequence(B, (3,), (0, 2), block_size=SIZE)],
    Ragged(),
    [A, B],
)
LAST = scene(
    2,
    [
        sequence(grown(A, 1), (1, 2), (6, 7), block_size=SIZE),
        sequence(B, (3, 4), (2, 5), block_size=SIZE),
    ],
    Ragged(),
    [grown(A, 1), B, C, D],
)
C_STARTS = sequence(C, (5,), (0, 4), block_size=SIZE)
D_STARTS = sequence(D, (7,), (0, 1), block_size=SIZE)

BROKEN: dict[str, tuple[str, Scene]] = {
    "another layout": ("the layout", with_step(LAST, layout=None)),
    "a step left out": ("steps count up", with_step(LAST, step=3)),
    "nothing to do": ("a step computes something", with_step(LAST, sequences=())),
    "a copy onto a held block": (
        "blocks are copied to fresh ones",
        with_step(LAST, block_copies=((1, 2),)),
    ),
    "a copy of a copy": (
        "no block is copied from and to",
        with_step(LAST, block_copies=((1, 7), (7, 8))),
    ),
    "a copy of what is written": (
        "what is copied is not written",
        with_step(LAST, block_copies=((2, 7),)),
    ),
    "a copy of nothing": ("what is copied is computed", with_step(LAST, block_copies=((6, 7),))),
    "an end that is not told": (
        "the ended are told once",
        replace(
            with_step(LAST, sequences=LAST.step.sequences[:1]),
            requests={RequestId("a"): grown(A, 1)},
        ),
    ),
    "an end that was none": (
        "the ended are told once",
        with_step(LAST, finished_request_ids=(RequestId("a"),)),
    ),
    "one request twice": ("one place in a step", with_more(LAST, LAST.step.sequences[0])),
    "too many requests": ("seats", with_more(LAST, C_STARTS, D_STARTS)),
    "paused and running": (
        "who is paused does not run",
        with_step(LAST, paused_request_ids=(RequestId("a"),)),
    ),
    "paused and waiting": (
        "only who has run is paused",
        with_step(LAST, paused_request_ids=(RequestId("c"),)),
    ),
    "a stranger": ("only live requests run", with_sequence(LAST, 0, request_id=RequestId("x"))),
    "another prompt length": ("length of the prompt", with_sequence(LAST, 0, num_prompt_tokens=5)),
    "other tokens": ("the tokens", with_sequence(LAST, 0, token_ids=(1,))),
    "a gap": (
        "positions are consecutive",
        with_step(
            LAST,
            sequences=(LAST.step.sequences[0], sequence(B, (3, 4), (3, 5), block_size=SIZE)),
        ),
    ),
    "no sample": ("a sample after the last known token", with_sequence(LAST, 1, sample=None)),
    "an early sample": (
        "a sample after the last known token",
        with_more(LAST, replace(C_STARTS, sample=SAMPLE)),
    ),
    "the padding block": (
        "0 belongs to nobody",
        with_more(LAST, sequence(C, (0,), (0, 4), block_size=SIZE)),
    ),
    "a block beyond the pool": (
        "blocks exist",
        with_more(LAST, sequence(C, (9,), (0, 4), block_size=SIZE)),
    ),
    "a block twice in a table": (
        "names a block once",
        with_sequence(LAST, 0, block_table=(1, 1)),
    ),
    "an offset of a block": ("lies in the first block", with_sequence(LAST, 0, block_offset=SIZE)),
    "another offset": ("the offset stays", with_sequence(LAST, 0, block_offset=1)),
    "a short table": ("the table covers the tokens", with_sequence(LAST, 1, block_table=(3,))),
    "another table": ("a table only grows", with_sequence(LAST, 0, block_table=(2, 1))),
    "a slot too few": ("a slot per token", with_sequence(LAST, 1, slot_mapping=(14, 15))),
    "a slot outside the table": (
        "a slot lies in the own table",
        with_sequence(LAST, 0, slot_mapping=(30,)),
    ),
    "a token that is not written": (
        "only what is there is not written",
        with_sequence(LAST, 0, slot_mapping=(-1,)),
    ),
    "one slot for two": (
        "slots are distinct",
        with_more(LAST, sequence(C, (4,), (0, 4), block_size=SIZE)),
    ),
    "one block for two": (
        "a shared block is not written",
        with_more(LAST, sequence(C, (1,), (0, 4), block_size=SIZE)),
    ),
    "too little left for others": (
        "blocks left for others: at most 1, got 2",
        replace(
            with_more(LAST, sequence(LONG, (5,), (0, 4), block_size=SIZE)),
            requests={**LAST.requests, RequestId("c"): LONG},
        ),
    ),
    "somebody thrown out who does not run": (
        "only who runs is preempted",
        with_step(LAST, preempted_request_ids=(RequestId("c"),)),
    ),
    "somebody thrown out before another": (
        "the least deserving are preempted",
        with_step(
            LAST,
            sequences=LAST.step.sequences[1:],
            preempted_request_ids=(RequestId("a"),),
        ),
    ),
    "somebody thrown out in vain": (
        "nobody is preempted in vain",
        with_step(
            LAST,
            sequences=LAST.step.sequences[:1],
            preempted_request_ids=(RequestId("b"),),
        ),
    ),
    "out of turn": ("start in order of priority, then arrival", with_more(LAST, D_STARTS)),
    "a prompt before a decode": (
        "decodes go before prompts",
        with_step(LAST, sequences=LAST.step.sequences[1:]),
    ),
}


def checker(*, budget: int = 8) -> ContinuousRules:
    return ContinuousRules(
        scheduler_config(
            num_blocks=8,
            block_size=SIZE,
            max_model_len=16,
            max_num_seqs=3,
            max_num_batched_tokens=budget,
        )
    )


def test_steps_that_keep_the_rules_of_continuous_pass() -> None:
    """The scene that the broken ones are made from; a third request may join it."""
    play(checker(), [FIRST, with_more(LAST, C_STARTS)])


@pytest.mark.parametrize("name", BROKEN)
def test_a_step_that_breaks_a_rule_of_continuous_is_refused(name: str) -> None:
    """With the name of the rule."""
    rule, broken = BROKEN[name]
    rules = checker()
    play(rules, [FIRST])
    with pytest.raises(AssertionError, match=rule):
        play(rules, [broken])


def test_a_step_above_the_token_budget_is_refused() -> None:
    """Exactly at the budget it passes."""
    joined = with_more(LAST, C_STARTS)
    play(checker(budget=8), [FIRST, joined])
    rules = checker(budget=8)
    play(rules, [FIRST])
    whole = with_more(LAST, sequence(C, (5, 6), (0, 5), block_size=SIZE))
    with pytest.raises(AssertionError, match="token budget: at most 8, got 9"):
        play(rules, [whole])


def test_what_can_run_alone_ends_at_context_and_pool() -> None:
    """The last token is never computed and needs no block."""
    rules = checker()
    assert rules.can_run_alone(request_spec("x", 8, 8))
    assert not rules.can_run_alone(request_spec("x", 8, 9))
    assert not rules.can_run_alone(request_spec("x", 3, 2, prior=(10, 11)))
    small = ContinuousRules(scheduler_config(num_blocks=2, block_size=SIZE))
    assert small.can_run_alone(request_spec("x", 5, 4))
    assert not small.can_run_alone(request_spec("x", 5, 5))
