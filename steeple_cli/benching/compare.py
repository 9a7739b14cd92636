"""Two benches side by side: before, after, and the ratio."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from steeple_cli.benching.report import Point, Report
from steeple_cli.load.figures import Latencies
from steeple_cli.load.percentiles import Percentiles
from steeple_cli.showing.columns import aligned

_Load = tuple[float, str]
_Value = Callable[[Point], float | None]
Times = Callable[[Latencies], Percentiles | None]


def _at(times: Times, percentile: Callable[[Percentiles], float]) -> _Value:
    """A percentile in milliseconds."""

    def value(point: Point) -> float | None:
        found = times(point.figures.latencies)
        return None if found is None else percentile(found) * 1e3

    return value


def _both(name: str, times: Times) -> dict[str, _Value]:
    return {
        f"{name}, p50 ms": _at(times, lambda found: found.p50),
        f"{name}, p99 ms": _at(times, lambda found: found.p99),
    }


_ROWS: Final[Mapping[str, _Value]] = {
    "requests/s": lambda p: p.figures.rates.requests_per_s,
    "output tokens/s": lambda p: p.figures.rates.tokens_per_s,
    "goodput, requests/s": lambda p: p.figures.rates.goodput_per_s,
    "requests refused": lambda p: p.figures.counts.num_refused,
    "requests failed": lambda p: p.figures.counts.num_failed,
    **_both("TTFT", lambda latencies: latencies.ttft_s),
    **_both("ITL", lambda latencies: latencies.itl_s),
    **_both("TPOT", lambda latencies: latencies.tpot_s),
    **_both("total", lambda latencies: latencies.total_s),
}


def compared(before: Report, after: Report) -> str:
    """A table per load that both have; loads that only one has, and other askings, are told."""
    theirs = {(point.level, point.unit): point for point in before.points}
    ours = {(point.level, point.unit): point for point in after.points}
    tables = [_table(theirs[load], ours[load]) for load in ours if load in theirs]
    parts = [
        *_differences(before, after),
        *_lonely("before", theirs, ours),
        *_lonely("after", ours, theirs),
        *tables,
    ]
    return "\n".join(parts)


def _lonely(when: str, points: Mapping[_Load, Point], others: Mapping[_Load, Point]) -> list[str]:
    """The loads that have nothing to be compared with, in one line."""
    labels = [point.label for load, point in points.items() if load not in others]
    return [f"only {when}: {', '.join(labels)}\n"] if labels else []


def _table(before: Point, after: Point) -> str:
    rows = [
        [name, *_cells(value(before), value(after))]
        for name, value in _ROWS.items()
        if value(before) is not None or value(after) is not None
    ]
    return aligned([[after.label, "before", "after", "ratio"], *rows]) + "\n"


def _cells(before: float | None, after: float | None) -> tuple[str, str, str]:
    has_ratio = before and after is not None
    ratio = f"{after / before:.2f}" if has_ratio and before and after is not None else "-"
    return _number(before), _number(after), ratio


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:,.1f}"


def _differences(before: Report, after: Report) -> Iterator[str]:
    """What makes the two hard to compare."""
    for kind, was, became in (
        ("model", before.model, after.model),
        ("load", before.asking, after.asking),
    ):
        for name in type(was).__dataclass_fields__:
            old, new = getattr(was, name), getattr(became, name)
            if old != new:
                yield f"not the same {kind}: {name} was {old}, became {new}\n"
