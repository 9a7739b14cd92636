"""Percentiles of what was seen: by nearest rank, so each is a value that occurred."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """So many of a hundred values are at most this."""

    p50: float
    p90: float
    p95: float
    p99: float


def percentiles(values: Iterable[float]) -> Percentiles | None:
    """The percentiles of `values`; None if there is none."""
    ordered = sorted(values)
    if not ordered:
        return None
    return Percentiles(
        p50=_nearest(ordered, 50),
        p90=_nearest(ordered, 90),
        p95=_nearest(ordered, 95),
        p99=_nearest(ordered, 99),
    )


def _nearest(ordered: list[float], percent: int) -> float:
    rank = -(-percent * len(ordered) // 100)
    return ordered[rank - 1]
