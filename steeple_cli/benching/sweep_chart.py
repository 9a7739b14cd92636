"""A sweep: what grows with the load, and what stops growing."""

from __future__ import annotations  # for what only type checkers import

from collections.abc import Callable
from typing import TYPE_CHECKING

from steeple_cli.benching.chart_style import DONE, GOOD, OFFERED, P50, P95, P99, dress, title
from steeple_cli.benching.report import Point, Report
from steeple_cli.load.figures import Latencies, LatencyBound
from steeple_cli.load.percentiles import Percentiles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDE = 6
"""From the least to the greatest load: from here on, equal ratios are equally far apart."""
Times = Callable[[Latencies], Percentiles | None]


def draw_sweep(figure: Figure, report: Report) -> None:
    """Four panels over the load: throughput, requests, TTFT, ITL."""
    points = sorted(report.points, key=lambda point: point.level)
    panels = figure.subplots(2, 2, sharex=True)
    is_open = report.asking.arrivals != "closed"
    title(figure, report, "requests at a rate" if is_open else "callers who wait for answers")
    _draw_tokens(panels[0, 0], points)
    _draw_requests(panels[0, 1], points, is_open=is_open)
    bound = report.bound or LatencyBound()
    _draw_times(panels[1, 0], points, lambda latencies: latencies.ttft_s, bound.ttft_s)
    _draw_times(panels[1, 1], points, lambda latencies: latencies.itl_s, bound.itl_s)
    dress(panels[1, 0], name="TTFT", unit="ms")
    dress(panels[1, 1], name="ITL", unit="ms")
    if points[-1].level >= _WIDE * points[0].level:
        panels[0, 0].set_xscale("log", base=2)
    for axes in panels[1]:
        axes.set_xlabel("arrivals per second" if is_open else "callers")
        axes.set_xticks([point.level for point in points], [f"{point.level:g}" for point in points])
        axes.minorticks_off()


def _line(
    axes: Axes, levels: list[float], values: list[float], label: str | None, colour: str
) -> None:
    axes.plot(levels, values, marker="o", markersize=5, linewidth=2, color=colour, label=label)


def _draw_tokens(axes: Axes, points: list[Point]) -> None:
    levels = [point.level for point in points]
    _line(axes, levels, [p.figures.rates.tokens_per_s for p in points], None, DONE)
    dress(axes, name="Throughput", unit="output tokens/s")


def _draw_requests(axes: Axes, points: list[Point], *, is_open: bool) -> None:
    levels = [point.level for point in points]
    if is_open:
        axes.plot(levels, levels, color=OFFERED, linestyle="--", label="arriving")
    _line(axes, levels, [p.figures.rates.requests_per_s for p in points], "done", DONE)
    good = [p.figures.rates.goodput_per_s for p in points]
    if all(rate is not None for rate in good):
        _line(axes, levels, [rate or 0.0 for rate in good], "done within the bound", GOOD)
    dress(axes, name="Requests", unit="requests/s")


def _draw_times(axes: Axes, points: list[Point], times: Times, bound_s: float | None) -> None:
    """Points that saw no such time are left out."""
    found = [(p.level, told) for p in points if (told := times(p.figures.latencies)) is not None]
    levels = [level for level, _ in found]
    for label, colour, values in (
        ("p99", P99, [told.p99 for _, told in found]),
        ("p95", P95, [told.p95 for _, told in found]),
        ("p50", P50, [told.p50 for _, told in found]),
    ):
        _line(axes, levels, [value * 1e3 for value in values], label, colour)
    if bound_s is not None:
        axes.axhline(bound_s * 1e3, color=GOOD, linewidth=1.2, linestyle="--", label="bound")
