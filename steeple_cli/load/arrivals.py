"""When the requests of an open loop come: endless times in seconds from its start."""

import random
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Final


def poisson(rate: float, seed: int) -> Iterator[float]:
    """Times of callers who know nothing of each other, `rate` per second on average.

    Args:
        rate: above 0.
        seed: the same seed gives the same times.
    """
    draw = random.Random(seed)  # noqa: S311 - load, not cryptography
    at_s = 0.0
    while True:
        at_s += draw.expovariate(rate)
        yield at_s


def constant(rate: float, seed: int) -> Iterator[float]:  # noqa: ARG001 - nothing is drawn
    """Times as regular as a clock's, `rate` per second."""
    return (number / rate for number in count(1))


ARRIVALS: Final[Mapping[str, Callable[[float, int], Iterator[float]]]] = {
    "poisson": poisson,
    "constant": constant,
}
"""By the name that the command line gives them."""
