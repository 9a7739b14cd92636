"""Numbers of a dashboard's axes in the units that it names as Grafana does."""

import math
from collections.abc import Callable, Mapping
from typing import Final

_KIBI = 1024.0
_NUM_STEPS = 4
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")
_THOUSANDS = ("", " K", " M", " G")


def _plain(value: float) -> str:
    return _scaled(value, 1000.0, _THOUSANDS)


def _size(value: float) -> str:
    return _scaled(value, _KIBI, tuple(f" {name}" for name in _SIZES))


def _seconds(value: float) -> str:
    if value == 0:
        return "0 s"
    for factor, name in ((1.0, "s"), (1e3, "ms")):
        if abs(value) * factor >= 1:
            return f"{value * factor:.3g} {name}"
    return f"{value * 1e6:.3g} µs"


def _scaled(value: float, base: float, names: tuple[str, ...]) -> str:
    power = 0
    while abs(value) >= base and power + 1 < len(names):
        value, power = value / base, power + 1
    return f"{value:.4g}{names[power]}"


def round_step(unit: str, top: float) -> float:
    """The distance of an axis' lines, a round number in its unit, for about four of them.

    Args:
        unit: a name of UNITS.
        top: the largest number of the axis, above 0.
    """
    wanted = top / _NUM_STEPS
    if unit == "bytes":
        return float(2 ** math.ceil(math.log2(wanted)))
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= wanted)


UNITS: Final[Mapping[str, Callable[[float], str]]] = {
    "bytes": _size,
    "percentunit": lambda value: f"{value:.0%}",
    "reqps": lambda value: f"{value:.3g} req/s",
    "s": _seconds,
    "short": _plain,
}
"""By Grafana's names."""
