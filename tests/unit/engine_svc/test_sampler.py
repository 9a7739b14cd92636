"""Tokens follow from a row's own logits, parameters, seed and position, and from nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine_svc.core.outputs import RowFault, SampleSpec
from engine_svc.core.params import RequestId, SamplingParams
from engine_svc.core.sampling.candidates import Candidates, candidates, draw, top_p_mask
from engine_svc.core.sampling.sampler import (
    NO_TOKEN_LEFT,
    NON_FINITE_LOGITS,
    Choice,
    Sampler,
    SampleRow,
)
from tests.support.sampling import chosen

GREEDY = SamplingParams(temperature=0.0)
HOT = SamplingParams(temperature=0.9, seed=5)


def row(
    sampling: SamplingParams = GREEDY,
    *,
    position: int = 3,
    banned: tuple[int, ...] = (),
    output_index: int = 0,
) -> SampleRow:
    spec = SampleSpec(sampling=sampling, output_index=output_index, banned_token_ids=banned)
    return SampleRow(request_id=RequestId("a"), spec=spec, position=position)


@pytest.fixture
def spec() -> SampleSpec:
    """A greedy request with a prompt of one token that hates to repeat itself."""
    return SampleSpec(
        sampling=replace(GREEDY, presence_penalty=2.0), output_index=0, num_prompt_tokens=1
    )


def test_greedy_takes_the_lowest_id_of_equal_logits() -> None:
    """Ties have one answer on every machine."""
    assert chosen(torch.tensor([[0.0, 2.0, 2.0, 1.0]]), [row()]) == [1]


def test_greedy_and_drawn_rows_mix() -> None:
    """A greedy neighbour neither takes part in drawing nor hides it."""
    logits = torch.tensor([[0.0, 9.0], [9.0, 0.0], [0.0, 9.0]])
    assert chosen(logits, [row(), row(replace(HOT, top_k=1)), row()]) == [1, 0, 1]


def test_no_rows_give_no_tokens() -> None:
    """A step that ends inside every prompt samples nothing."""
    assert chosen(torch.empty(0, 5), []) == []


@pytest.mark.parametrize("sampling", [GREEDY, HOT], ids=["greedy", "drawn"])
def test_banned_tokens_are_never_chosen(sampling: SamplingParams) -> None:
    """However likely they are; and the caller's logits stay as they were."""
    logits = torch.tensor([[1.0, 50.0, 0.0, 60.0], [1.0, 50.0, 0.0, 60.0]])
    before = logits.clone()
    rows = [row(sampling, banned=(1, 3)), row(sampling, banned=(3,))]
    first, second = chosen(logits, rows)
    assert first in (0, 2)
    assert second == 1
    assert torch.equal(logits, before)


@pytest.mark.parametrize("sampling", [GREEDY, HOT], ids=["greedy", "drawn"])
@pytest.mark.parametrize("bad", [[0.0, torch.nan], [torch.inf, 0.0], [-torch.inf, -torch.inf]])
def test_a_row_without_usable_logits_fails_alone(
    sampling: SamplingParams, bad: list[float]
) -> None:
    """NaN, +inf or nothing above -inf: its neighbours get their tokens."""
    logits = torch.tensor([[9.0, 0.0], bad, [0.0, 99.0]])
    first, fault, last = chosen(logits, [row(), row(sampling), row(HOT)])
    assert (first, last) == (0, 1)
    assert isinstance(fault, RowFault)
    assert fault.reason == "NON_FINITE_LOGITS"
    assert fault is NON_FINITE_LOGITS


def test_a_row_whose_tokens_are_all_forbidden_fails_alone_and_says_so() -> None:
    """That is no fault of the model: the reason is another one."""
    logits = torch.tensor([[9.0, 0.0], [1.0, 2.0], [1.0, -torch.inf], [0.0, 99.0]])
    every = replace(GREEDY, bad_word_ids=((0,), (1,)))
    rows = [row(), row(every), row(HOT, banned=(0,)), row(HOT)]
    assert chosen(logits, rows) == [0, NO_TOKEN_LEFT, NO_TOKEN_LEFT, 1]


def test_what_one_request_has_read_is_no_others(spec: SampleSpec) -> None:
    """Each request is read on by itself, and once it has ended it is as if it never was."""
    sampler, logits = Sampler(), torch.tensor([[1.0, 0.9, 0.8]])

    def token(name: str, history: list[int]) -> int:
        asked = replace(spec, history=history)
        named = SampleRow(request_id=RequestId(name), spec=asked, position=len(history))
        (choice,) = sampler.sample(logits, [named])
        assert isinstance(choice, Choice)
        return choice.token_id

    assert token("a", [2]) == 0
    assert token("a", [2, 0]) == 1
    assert token("b", [2]) == 0
    assert token("a", [2, 0, 1]) == 2
    sampler.forget([RequestId("a"), RequestId("unknown")])
    assert token("a", [2]) == 0


def test_a_row_gives_the_same_token_alone_and_in_any_batch() -> None:
    """Bit for bit the same logits: then exactly the same draw, whatever stands beside it."""
    logits = torch.randn(24, 513, generator=torch.Generator().manual_seed(3)) * 4
    kinds = (
        GREEDY,
        HOT,
        replace(HOT, top_k=9),
        replace(HOT, top_p=0.8),
        replace(HOT, min_p=0.1),
        replace(HOT, top_k=50, top_p=0.9, min_p=0.01, temperature=3.0),
    )
    rows = [
        row(replace(kinds[idx % 6], seed=idx), position=idx * 7, output_index=idx % 2)
        for idx in range(24)
    ]
    together = chosen(logits, rows)
    alone = [chosen(logits[idx : idx + 1], rows[idx : idx + 1])[0] for idx in range(24)]
    backwards = chosen(logits.flip(0), rows[::-1])[::-1]
    assert together == alone == backwards
    assert len(set(together)) > 12


def test_low_precision_logits_are_drawn_from_as_their_exact_values() -> None:
    """Numbers of 16 bits are widened, never rounded again."""
    logits = (torch.randn(1, 64, generator=torch.Generator().manual_seed(1)) * 5).bfloat16()
    assert chosen(logits, [row(HOT)]) == chosen(logits.float(), [row(HOT)])


@pytest.mark.parametrize(
    "sampling",
    [HOT, replace(HOT, top_k=4), replace(HOT, top_p=0.75), replace(HOT, min_p=0.2)],
    ids=["plain", "top_k", "top_p", "min_p"],
)
def test_draws_follow_the_filtered_distribution(sampling: SamplingParams) -> None:
    """Chi-square over 4,000 positions of one seed, below the 99.9 % quantile."""
    logits = torch.tensor([[1.0, 0.2, -0.5, 2.0, 1.5, -1.0, 0.0, 1.2]])
    kept = candidates(logits[0].numpy(), sampling)
    rows = [row(sampling, position=position) for position in range(4000)]
    drawn = np.array(chosen(logits.expand(4000, -1), rows))
    assert set(drawn.tolist()) == set(kept.ids.tolist())
    expected = 4000 * kept.weights / kept.weights.sum()
    seen = np.bincount(drawn, minlength=8)[kept.ids]
    quantile = {2: 13.8, 3: 16.3, 4: 18.5, 5: 20.5, 7: 24.3}[len(kept.ids) - 1]
    assert ((seen - expected) ** 2 / expected).sum() < quantile


def test_the_ends_of_the_unit_interval_draw_the_first_and_the_last_token() -> None:
    """The greatest random number rounds to one, and must still name a token."""
    choice = Candidates(ids=np.array([3, 8, 9]), weights=np.array([0.25, 1.0, 0.5]))
    assert draw(choice, 0.5 / 2**53) == 3
    assert draw(choice, 0.25 / 1.75) == 3
    assert draw(choice, 0.5) == 8
    assert draw(choice, 1.0) == 9


def test_a_temperature_near_zero_draws_the_greatest_logit() -> None:
    """Scores far below zero vanish; nothing overflows."""
    params = SamplingParams(temperature=1e-30, seed=1)
    assert chosen(torch.tensor([[1.0, 1.0001, -50.0, -torch.inf]]), [row(params)]) == [1]


def test_top_p_keeps_the_smallest_set_and_the_lowest_ids_of_equals() -> None:
    """Four equal tokens, half of the mass: the first two."""
    assert top_p_mask(np.ones(4), 0.5).tolist() == [True, True, False, False]
    assert top_p_mask(np.ones(4), 0.51).tolist() == [True, True, True, False]
    assert top_p_mask(np.array([0.2, 1.0, 0.1]), 1e-9).tolist() == [False, True, False]


def test_top_p_over_a_large_flat_vocabulary_keeps_the_right_number() -> None:
    """The short sort grows until it holds enough of the mass."""
    weights = 1.0 + np.arange(5000, dtype=np.float64) * 1e-9
    kept = top_p_mask(weights, 0.9)
    assert kept.sum() == 4500
    assert not kept[:500].any()
