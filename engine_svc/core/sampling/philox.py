"""Random numbers without state: Philox4x32-10, a function of seed and counter.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011); the
known answers of its authors' library are pinned by the tests.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
"""Values below 2**32 in 64 bits, so that products do not overflow."""

_ROUNDS = 10
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_KEY_STEPS = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
_LOW_32 = np.uint64(0xFFFFFFFF)
_SHIFT_32 = np.uint64(32)
_SHIFT_TO_53 = np.uint64(64 - 53)


class Purpose(IntEnum):
    """What a number is drawn for: different purposes never share a number."""

    TOKEN = 0


def philox4x32(counters: Words, keys: Words) -> Words:
    """Ten rounds of Philox, row by row.

    Args:
        counters: [num_rows, 4] words.
        keys: [num_rows, 2] words.

    Returns:
        [num_rows, 4] words.
    """
    first, second, third, fourth = counters.T
    low_key, high_key = keys.T
    for _ in range(_ROUNDS):
        left, right = first * _MULTIPLIERS[0], third * _MULTIPLIERS[1]
        first, second, third, fourth = (
            (right >> _SHIFT_32) ^ second ^ low_key,
            right & _LOW_32,
            (left >> _SHIFT_32) ^ fourth ^ high_key,
            left & _LOW_32,
        )
        low_key = (low_key + _KEY_STEPS[0]) & _LOW_32
        high_key = (high_key + _KEY_STEPS[1]) & _LOW_32
    return np.stack((first, second, third, fourth), axis=1)


def uniforms(
    seeds: Words, *, positions: Words, output_indices: Words, purpose: Purpose
) -> NDArray[np.float64]:
    """One number per row: (the upper 53 of 64 bits + 1/2) / 2**53.

    Args:
        seeds: [num_rows] any 64 bits.
        positions: [num_rows] position of the token that is drawn.
        output_indices: [num_rows] which of the caller's outputs it belongs to.
        purpose: what the numbers are for.

    Returns:
        [num_rows] above 0; at most 1, which only the greatest of the 2**53 values rounds to.
    """
    zeros = np.zeros_like(seeds)
    counters = np.stack((positions, output_indices, zeros + np.uint64(purpose), zeros), axis=1)
    keys = np.stack((seeds & _LOW_32, seeds >> _SHIFT_32), axis=1)
    words = philox4x32(counters, keys)
    bits = ((words[:, 0] << _SHIFT_32) | words[:, 1]) >> _SHIFT_TO_53
    fractions: NDArray[np.float64] = (bits.astype(np.float64) + 0.5) / 2.0**53
    return fractions
