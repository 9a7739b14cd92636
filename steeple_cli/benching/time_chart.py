"""One load over its time: what it did, and whether it was the same from beginning to end."""

from __future__ import annotations  # for what only type checkers import

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from steeple_cli.benching.chart_style import DONE, P50, P95, P99, dress, title
from steeple_cli.benching.report import Report
from steeple_cli.load.figures import Window
from steeple_cli.load.history import End
from steeple_cli.load.percentiles import percentiles
from steeple_cli.load.sample import Sample

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from steeple_cli.benching.run import PointRun

NUM_BINS = 40


def draw_times(figure: Figure, report: Report, run: PointRun) -> None:
    """Four panels over the time: tokens, requests under way, TTFT, ITL."""
    panels = figure.subplots(2, 2, sharex=True)
    title(figure, report, run.point.label)
    edges_s = bin_edges(run.window)
    _draw_tokens(panels[0, 0], run.samples, run.window, edges_s)
    _draw_under_way(panels[0, 1], run.samples, run.window)
    _draw_ttft(panels[1, 0], run.samples, run.window)
    _draw_itl(panels[1, 1], run.samples, run.window, edges_s)
    for axes in panels[1]:
        axes.set_xlabel("seconds of the window")
        axes.set_xlim(0, run.window.length_s)


def bin_edges(window: Window) -> list[float]:
    """NUM_BINS parts of a window, as their NUM_BINS + 1 ends."""
    width_s = window.length_s / NUM_BINS
    return [window.start_s + number * width_s for number in range(NUM_BINS + 1)]


def bin_of(at_s: float, edges_s: Sequence[float]) -> int | None:
    """Which part a time lies in; None outside."""
    if not edges_s[0] <= at_s <= edges_s[-1]:
        return None
    share = (at_s - edges_s[0]) / (edges_s[-1] - edges_s[0])
    return min(NUM_BINS - 1, int(share * NUM_BINS))


def tokens_per_s(samples: Sequence[Sample], edges_s: Sequence[float]) -> list[float]:
    """Output tokens delivered per second, in each part."""
    totals = [0] * NUM_BINS
    for sample in samples:
        rises = pairwise((0, *sample.counts))
        for at_s, (before, now) in zip(sample.times_s, rises, strict=True):
            if (part := bin_of(at_s, edges_s)) is not None:
                totals[part] += now - before
    width_s = edges_s[1] - edges_s[0]
    return [total / width_s for total in totals]


def itl_by_part(samples: Sequence[Sample], edges_s: Sequence[float]) -> list[list[float]]:
    """The times between tokens that ended in each part."""
    parts: list[list[float]] = [[] for _ in range(NUM_BINS)]
    for sample in samples:
        rises = zip(sample.gaps_s, pairwise(sample.counts), strict=True)
        for at_s, (gap, (before, now)) in zip(sample.times_s[1:], rises, strict=True):
            if (part := bin_of(at_s, edges_s)) is not None:
                parts[part] += [gap / (now - before)] * (now - before)
    return parts


def _draw_tokens(
    axes: Axes, samples: Sequence[Sample], window: Window, edges_s: Sequence[float]
) -> None:
    offsets = [edge - window.start_s for edge in edges_s]
    axes.stairs(tokens_per_s(samples, edges_s), offsets, fill=True, color=DONE, alpha=0.85)
    dress(axes, name="Throughput", unit="output tokens/s")


def under_way(samples: Sequence[Sample]) -> list[tuple[float, int]]:
    """Times at which the number of requests under way changes, and to what."""
    changes = sorted([(s.start_s, 1) for s in samples] + [(s.ended_s, -1) for s in samples])
    counts = accumulate(change for _, change in changes)
    return [(at_s, count) for (at_s, _), count in zip(changes, counts, strict=True)]


def _draw_under_way(axes: Axes, samples: Sequence[Sample], window: Window) -> None:
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - an extra

    steps = [(at_s - window.start_s, count) for at_s, count in under_way(samples)]
    times_s, counts = zip(*steps, strict=True)
    axes.step(times_s, counts, where="post", color=DONE, linewidth=1.2)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    dress(axes, name="Requests under way", unit="requests")


def _draw_ttft(axes: Axes, samples: Sequence[Sample], window: Window) -> None:
    seen = [
        (sample.start_s - window.start_s, sample.ttft_s * 1e3)
        for sample in samples
        if sample.ttft_s is not None and sample.end is End.DONE and not sample.is_warm_up
    ]
    axes.scatter([at for at, _ in seen], [ms for _, ms in seen], s=14, color=P50, alpha=0.6, lw=0)
    if (found := percentiles(ms for _, ms in seen)) is not None:
        for label, value, colour in (("p99", found.p99, P99), ("p50", found.p50, P50)):
            axes.axhline(value, color=colour, linewidth=1.2, linestyle="--", label=label)
    dress(axes, name="TTFT of each request, when it was due", unit="ms")


def _draw_itl(
    axes: Axes, samples: Sequence[Sample], window: Window, edges_s: Sequence[float]
) -> None:
    """Parts in which no token ended a wait are left out."""
    parts = itl_by_part(samples, edges_s)
    middles = [(a + b) / 2 - window.start_s for a, b in pairwise(edges_s)]
    found = [(at, p) for at, part in zip(middles, parts, strict=True) if (p := percentiles(part))]
    for label, colour, values in (
        ("p99", P99, [p.p99 for _, p in found]),
        ("p95", P95, [p.p95 for _, p in found]),
        ("p50", P50, [p.p50 for _, p in found]),
    ):
        axes.plot([at for at, _ in found], [v * 1e3 for v in values], color=colour, label=label)
    dress(axes, name="ITL", unit="ms")
