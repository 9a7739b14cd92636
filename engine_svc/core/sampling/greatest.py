"""The n-th greatest of many numbers, without ordering them all.

Of blocks of numbers, the n-th greatest maximum is a lower bound: n numbers reach it. What lies
below is left out before anything is ordered, nearly everything in a vocabulary.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_BLOCK_LEN = 64

Number = TypeVar("Number", np.float32, np.float64)


def nth_greatest(values: NDArray[Number], number: int) -> Number:
    """The `number`-th greatest value, counting equals.

    Args:
        values: no NaN.
        number: 1 to len(values).
    """
    if number * _BLOCK_LEN < len(values):
        maxima = np.maximum.reduceat(values, np.arange(0, len(values), _BLOCK_LEN))
        values = values[values >= np.partition(maxima, -number)[-number]]
    nth: Number = np.partition(values, -number)[-number]
    return nth
