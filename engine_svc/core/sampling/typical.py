"""Locally typical sampling: keep the tokens whose surprise is close to the expected one.

Source: Meister, Pimentel, Wiher, Cotterell, "Locally typical sampling" (TACL 2023).
"""

import numpy as np

from engine_svc.core.sampling.arrays import Bools, Doubles, Ids
from engine_svc.core.sampling.greatest import nth_greatest

_FIRST_PREFIX = 256
_PREFIX_GROWTH = 8


def typical_mask(weights: Doubles, typical_p: float) -> Bools:
    """Mark the most typical tokens whose share reaches typical_p, and those as typical as the last.

    Args:
        weights: [num_tokens] proportional to probabilities; tokens that weigh 0 are not marked.
        typical_p: above 0, below 1.
    """
    shares = weights / weights.sum()
    # The least of weights has no share: divided, it is too small for a number above 0.
    possible = np.flatnonzero(shares > 0.0)
    shares = shares[possible]
    surprises = -np.log(shares)
    distances = np.abs(surprises - (shares * surprises).sum())
    ranked = _nearest(distances, shares, typical_p)
    num_before = int(np.count_nonzero(np.cumsum(shares[ranked]) < typical_p))
    border = distances[ranked[min(num_before, len(ranked) - 1)]]
    marked = np.zeros(len(weights), dtype=np.bool_)
    marked[possible[distances <= border]] = True
    return marked


def _nearest(distances: Doubles, shares: Doubles, needed: float) -> Ids:
    """Places by distance, the nearest first, at least as many as hold `needed` of the mass.

    Sorting a whole vocabulary costs far more than finding the few that usually suffice.
    """
    size = _FIRST_PREFIX
    while size < len(distances):
        places = np.flatnonzero(distances <= -nth_greatest(-distances, size))
        if shares[places].sum() >= needed:
            break
        size *= _PREFIX_GROWTH
    else:
        places = np.arange(len(distances))
    return places[np.argsort(distances[places], kind="stable")]
