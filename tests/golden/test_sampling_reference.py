"""All of sampling together, against a second writing of it in double precision."""

import random

import numpy as np
import pytest
import torch

from engine_svc.core.outputs import SampleSpec
from engine_svc.core.params import LengthPenalty, LogprobsParams, RequestId, SamplingParams
from engine_svc.core.sampling.candidates import candidates
from engine_svc.core.sampling.row_processors import RowProcessors
from engine_svc.core.sampling.sampler import Choice, Sampler, SampleRow
from tests.support.sampling_reference import (
    reference_logits,
    reference_logprobs,
    reference_probabilities,
    reference_rank,
)

VOCAB_SIZE = 400
EOS = (2, 11)


def some_params(draw: random.Random) -> SamplingParams:
    """Most options on, within their bounds."""
    tokens = range(VOCAB_SIZE)
    return SamplingParams(
        temperature=draw.choice([0.0, 0.2, 0.7, 1.0, 1.5, 4.0]),
        top_k=draw.choice([0, 0, 1, 7, 60, 5000]),
        typical_p=draw.choice([1.0, 1.0, 0.2, 0.9]),
        top_p=draw.choice([1.0, 1.0, 0.3, 0.95]),
        min_p=draw.choice([0.0, 0.0, 0.05, 0.6]),
        seed=draw.randrange(2**64),
        repetition_penalty=draw.choice([1.0, 0.6, 1.2, 3.0]),
        presence_penalty=draw.choice([0.0, -2.0, 0.5, 2.0]),
        frequency_penalty=draw.choice([0.0, -0.7, 0.3, 2.0]),
        length_penalty=draw.choice([None, LengthPenalty(start_index=4, decay_factor=1.1)]),
        logit_bias=tuple((token, draw.uniform(-9, 9)) for token in draw.sample(tokens, 12)),
        bad_word_ids=tuple(tuple(draw.choices(range(20), k=draw.choice([1, 2, 2]))) for _ in "abc"),
    )


@pytest.mark.parametrize("seed", range(120))
def test_logits_survivors_and_probabilities_are_those_of_the_reference(seed: int) -> None:
    """In the order that the contract names; a row of its own for each set of options."""
    draw = random.Random(seed)  # noqa: S311 - options, not secrets
    params = some_params(draw)
    prompt, output = draw.choices(range(20), k=9), draw.choices(range(20), k=draw.randrange(15))
    banned = draw.choice([(), EOS])
    raw = np.random.default_rng(seed).normal(0, 3, VOCAB_SIZE).astype(np.float32)
    spec = SampleSpec(
        sampling=params,
        output_index=0,
        banned_token_ids=banned,
        eos_token_ids=EOS,
        num_prompt_tokens=len(prompt),
        history=[*prompt, *output] if params.looks_back else None,
    )
    row = raw.copy()
    RowProcessors(spec).apply(row, spec)
    expected = reference_logits(
        raw.astype(np.float64), params, prompt=prompt, output=output, banned=banned, eos=EOS
    )
    np.testing.assert_allclose(row, expected, rtol=2e-6, atol=2e-6)
    shares = reference_probabilities(expected, params)
    if params.is_greedy:
        assert shares[row.argmax()] == 1.0
        return
    survivors = candidates(row, params)
    assert survivors.ids.tolist() == np.flatnonzero(shares).tolist()
    np.testing.assert_allclose(
        survivors.weights / survivors.weights.sum(), shares[survivors.ids], rtol=1e-4
    )


def told(logits: torch.Tensor, asked: LogprobsParams, params: SamplingParams) -> list[Choice]:
    """One row each, all asking for the same."""
    rows = [
        SampleRow(
            request_id=RequestId(str(idx)),
            spec=SampleSpec(sampling=params, output_index=0, logprobs=asked),
            position=idx,
        )
        for idx in range(len(logits))
    ]
    choices = Sampler().sample(logits, rows)
    assert all(isinstance(choice, Choice) for choice in choices)
    return [choice for choice in choices if isinstance(choice, Choice)]


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("temperature", [0.0, 2.0])
def test_logprobs_and_ranks_are_those_of_the_raw_logits(scale: float, temperature: float) -> None:
    """Whatever bias, temperature and filters did to the choice; the likeliest come best first."""
    params = SamplingParams(
        temperature=temperature, seed=5, top_k=300, logit_bias=tuple((t, 9.0) for t in range(40))
    )
    logits = torch.randn(16, VOCAB_SIZE, generator=torch.Generator().manual_seed(1)) * scale
    ranks = set()
    for raw, choice in zip(
        logits.double().numpy(), told(logits, LogprobsParams(num_top=20), params), strict=True
    ):
        expected = reference_logprobs(raw)
        logprobs = choice.logprobs
        assert logprobs is not None
        assert logprobs.logprob == pytest.approx(expected[choice.token_id], abs=1e-5, rel=1e-5)
        assert logprobs.rank == reference_rank(raw, choice.token_id)
        best = sorted(range(VOCAB_SIZE), key=lambda token: (-raw[token], token))[:20]
        assert [token for token, _ in logprobs.top] == best
        assert [value for _, value in logprobs.top] == pytest.approx(
            expected[best].tolist(), abs=1e-5, rel=1e-5
        )
        ranks.add(logprobs.rank)
    assert len(ranks) > 1


def test_of_equally_likely_tokens_the_lowest_id_comes_first_and_shares_its_rank() -> None:
    """At the border too."""
    logits = torch.tensor([[1.0, 3.0, 2.0, 3.0, 2.0, 2.0]])
    (choice,) = told(logits, LogprobsParams(num_top=4), SamplingParams(temperature=0.0))
    assert choice.logprobs is not None
    assert (choice.token_id, choice.logprobs.rank) == (1, 1)
    assert [token for token, _ in choice.logprobs.top] == [1, 3, 2, 4]


def test_logprobs_of_tokens_asked_for_come_in_the_order_asked() -> None:
    """Exactly those, twice where asked twice, and not the likeliest."""
    logits = torch.tensor([[1.0, 3.0, 2.0, -torch.inf]])
    asked = LogprobsParams(num_top=2, token_ids=(2, 0, 3, 2))
    (choice,) = told(logits, asked, SamplingParams(temperature=0.0))
    assert choice.logprobs is not None
    assert [token for token, _ in choice.logprobs.top] == [2, 0, 3, 2]
    assert choice.logprobs.top[2][1] == -np.inf


def test_no_top_tokens_are_told_where_none_are_asked_for() -> None:
    """The token's own log-probability is; and more than there are gives all."""
    logits = torch.tensor([[1.0, 3.0]])
    (none,) = told(logits, LogprobsParams(), SamplingParams(temperature=0.0))
    (every,) = told(logits, LogprobsParams(num_top=20), SamplingParams(temperature=0.0))
    assert none.logprobs is not None
    assert every.logprobs is not None
    assert (none.logprobs.top, len(every.logprobs.top)) == ((), 2)
    assert none.logprobs.logprob == every.logprobs.logprob


def test_low_precision_logits_have_the_logprobs_of_their_exact_values() -> None:
    """bfloat16 is widened, never summed."""
    logits = (torch.randn(4, VOCAB_SIZE, generator=torch.Generator().manual_seed(2)) * 5).bfloat16()
    params, asked = SamplingParams(temperature=0.0), LogprobsParams(num_top=3)
    assert told(logits, asked, params) == told(logits.float(), asked, params)
