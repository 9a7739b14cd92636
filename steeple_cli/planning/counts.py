"""Numbers from a command line, checked by name."""

import math

from steeple_cli.planning.errors import PlanRefused

MAX_COUNT = 1 << 20


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
        PlanRefused: it is not a finite number above 0.
    """
    if not 0 < value < math.inf:
        raise PlanRefused(f"{option} is a number above 0; it is {value:g}")
    return value
