"""The tokens that survive our filters are those that survive transformers' own."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

from engine_svc.core.params import SamplingParams
from engine_svc.core.sampling.candidates import candidates

VOCAB_SIZE = 997


# The filters are called with float logits and no ids; their annotations ask for long ids.
def transformers_filters(params: SamplingParams) -> Any:
    filters: list[object] = [TemperatureLogitsWarper(params.temperature)]
    if params.top_k:
        filters.append(TopKLogitsWarper(params.top_k))
    if params.typical_p < 1.0:
        filters.append(TypicalLogitsWarper(params.typical_p))
    if params.top_p < 1.0:
        filters.append(TopPLogitsWarper(params.top_p))
    if params.min_p:
        filters.append(MinPLogitsWarper(params.min_p))
    return LogitsProcessorList(filters)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 1.7])
@pytest.mark.parametrize(
    ("top_k", "top_p", "min_p"),
    [
        (0, 1.0, 0.0),
        (1, 1.0, 0.0),
        (40, 1.0, 0.0),
        (2000, 1.0, 0.0),
        (0, 0.9, 0.0),
        (0, 0.01, 0.0),
        (0, 0.999, 0.0),
        (0, 1.0, 0.02),
        (0, 1.0, 1.0),
        (50, 0.8, 0.05),
        (300, 0.95, 0.001),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_survivors_and_probabilities_are_those_of_transformers(
    temperature: float, top_k: int, top_p: float, min_p: float, seed: int
) -> None:
    """Same set, same probabilities up to single precision, for wide and narrow distributions."""
    params = SamplingParams(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    numbers = torch.Generator().manual_seed(seed)
    logits = torch.randn(1, VOCAB_SIZE, generator=numbers) * (1 + seed)
    filtered = transformers_filters(params)(torch.zeros(1, 1, dtype=torch.long), logits)[0]
    ours = candidates(logits[0].numpy(), params)
    assert ours.ids.tolist() == filtered.isfinite().nonzero().flatten().tolist()
    theirs = filtered.softmax(-1)[torch.from_numpy(ours.ids)].numpy()
    np.testing.assert_allclose(ours.weights / ours.weights.sum(), theirs, rtol=2e-5)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 1.7])
@pytest.mark.parametrize("typical_p", [0.05, 0.5, 0.9, 0.999])
@pytest.mark.parametrize(
    ("top_k", "top_p", "min_p"), [(0, 1.0, 0.0), (40, 1.0, 0.0), (300, 0.8, 0.02)]
)
def test_typical_tokens_are_those_of_transformers_before_the_other_filters(
    temperature: float, typical_p: float, top_k: int, top_p: float, min_p: float
) -> None:
    """After top_k; top_p and min_p see what it left, even without the likeliest token."""
    params = SamplingParams(
        temperature=temperature, typical_p=typical_p, top_k=top_k, top_p=top_p, min_p=min_p
    )
    for seed in range(3):
        numbers = torch.Generator().manual_seed(seed)
        logits = torch.randn(1, VOCAB_SIZE, generator=numbers) * (1 + seed)
        filtered = transformers_filters(params)(torch.zeros(1, 1, dtype=torch.long), logits)[0]
        ours = candidates(logits[0].numpy(), params)
        assert ours.ids.tolist() == filtered.isfinite().nonzero().flatten().tolist()
        theirs = filtered.softmax(-1)[torch.from_numpy(ours.ids)].numpy()
        np.testing.assert_allclose(ours.weights / ours.weights.sum(), theirs, rtol=2e-5)


@pytest.mark.parametrize("values", [(3.0, 1.0, 1.0, 0.0), (1.0, 3.0, 1.0, 1.0)])
def test_tokens_tied_with_the_kth_all_survive(values: Sequence[float]) -> None:
    """As in transformers: top_k never picks one of several equals."""
    logits = torch.tensor([values])
    filtered = TopKLogitsWarper(2)(torch.zeros(1, 1, dtype=torch.long), logits)[0]
    ours = candidates(logits[0].numpy(), SamplingParams(top_k=2))
    assert ours.ids.tolist() == filtered.isfinite().nonzero().flatten().tolist()
