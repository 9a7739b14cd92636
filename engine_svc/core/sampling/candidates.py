"""From one row of logits to the tokens that may be drawn, with their weights.

Every function takes one row: nothing here can depend on a neighbour in the batch.
"""

from dataclasses import dataclass

import numpy as np

from engine_svc.core.params import SamplingParams, TokenId
from engine_svc.core.sampling.arrays import Bools, Doubles, Floats, Ids
from engine_svc.core.sampling.greatest import nth_greatest
from engine_svc.core.sampling.typical import typical_mask

_FIRST_PREFIX = 256
_PREFIX_GROWTH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The tokens that survive the filters."""

    ids: Ids
    """[num_candidates] ascending, never empty."""
    weights: Doubles
    """[num_candidates] proportional to their probabilities; at most 1."""


def candidates(logits: Floats, params: SamplingParams) -> Candidates:
    """Filter one row: temperature, top_k, typical_p, top_p, min_p, each what the last one left.

    Args:
        logits: [vocab]; the greatest is finite. Tokens at -inf are never candidates.
        params: not greedy.
    """
    ids = _top_k(logits, params.top_k)
    kept = logits[ids].astype(np.float64)
    with np.errstate(over="ignore"):  # a tiny temperature: all but the likeliest vanish
        weights = np.exp((kept - kept.max()) / params.temperature)
    survives = weights > 0.0
    if params.typical_p < 1.0:
        survives &= typical_mask(weights, params.typical_p)
        weights[~survives] = 0.0
    if params.top_p < 1.0:
        survives &= top_p_mask(weights, params.top_p)
    if params.min_p > 0.0:
        # The likeliest is there: top_p keeps it, typical_p may have left another one.
        survives &= weights >= params.min_p * weights.max()
    return Candidates(ids=ids[survives], weights=weights[survives])


def draw(choice: Candidates, uniform: float) -> TokenId:
    """Invert the distribution: the first token at which the running sum reaches `uniform` of all.

    Args:
        choice: the tokens, ascending; the order is part of the promise that seeds repeat.
        uniform: above 0, at most 1.
    """
    sums = np.cumsum(choice.weights)
    return int(choice.ids[np.searchsorted(sums, uniform * sums[-1], side="left")])


def top_p_mask(weights: Doubles, top_p: float) -> Bools:
    """Mark the smallest set of likeliest tokens whose share reaches top_p; at least one token.

    Of equally likely tokens at the border those with the lower index are kept.
    """
    needed = top_p * float(weights.sum())
    ranked = _heavy_prefix(weights, needed)  # [num_ranked] descending
    before = np.concatenate(([0.0], np.cumsum(ranked)[:-1]))
    num_kept = max(1, int(np.count_nonzero(before < needed)))
    border = ranked[num_kept - 1]
    kept: Bools = weights > border
    ties = np.flatnonzero(weights == border)
    kept[ties[: num_kept - int(np.count_nonzero(kept))]] = True
    return kept


def _heavy_prefix(weights: Doubles, needed: float) -> Doubles:
    """The heaviest weights in order, at least as many as sum up to `needed`.

    Sorting a whole vocabulary costs far more than finding the few tokens that usually suffice.
    """
    size = _FIRST_PREFIX
    while size < len(weights):
        prefix = np.sort(weights[weights >= nth_greatest(weights, size)])[::-1]
        if prefix.cumsum()[-1] >= needed:
            return prefix
        size *= _PREFIX_GROWTH
    return np.sort(weights)[::-1]


def _top_k(logits: Floats, top_k: int) -> Ids:
    """Tokens at least as likely as the k-th likeliest, ascending: ties with it all stay."""
    if top_k in range(1, len(logits)):
        return np.flatnonzero(logits >= nth_greatest(logits, top_k))
    return np.arange(len(logits))
