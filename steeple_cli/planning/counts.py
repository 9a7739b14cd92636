"""Numbers from a command line, checked by name."""

import math

from steeple_cli.planning.errors import PlanRefused
from steeple_rpc.quantities import parse_quantity

MAX_COUNT = 1 << 20
MIN_RATE = 1e-4
"""Per second. MAX_REQUESTS then come within MAX_ARRIVAL_S, give or take."""
MAX_ARRIVAL_S = 1e9
"""Up to here and a good way beyond, the clock tells microseconds apart."""


def read_count(option: str, written: str | None) -> int | None:
    """The number that is written like 4096 or 32k; None where nothing is.

    Raises:
        PlanRefused: it is none; tells how to write one.
    """
    try:
        number = parse_quantity(written)
    except ValueError as error:
        raise PlanRefused(f"{option}: {error}") from None
    return number if isinstance(number, int) else None


def checked_count(option: str, value: int, *, most: int = MAX_COUNT) -> int:
    """`value` as it is.

    Raises:
        PlanRefused: it is not from 1 to `most`.
    """
    if not 1 <= value <= most:
        raise PlanRefused(f"{option} is 1 to {most}; it is {value}")
    return value


def checked_rate(option: str, value: float) -> float:
    """`value` as it is.

    Raises:
        PlanRefused: it is not a finite number from MIN_RATE up.
    """
    if not MIN_RATE <= value < math.inf:
        raise PlanRefused(f"{option} is a number from {MIN_RATE:g} up; it is {value:g}")
    return value
