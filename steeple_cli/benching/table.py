"""The figures of a bench for people: a row per figure, a column per load."""

from collections.abc import Callable, Mapping
from typing import Final

from steeple_cli.benching.notes import notes
from steeple_cli.benching.report import Point, Report
from steeple_cli.load.figures import LatencyBound, LoadFigures
from steeple_cli.load.percentiles import Percentiles
from steeple_cli.showing.columns import aligned

_Cell = Callable[[Point], str]


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _tokens(value: float) -> str:
    return f"{value:,.0f}"


def _times(name: str, times: Callable[[LoadFigures], Percentiles | None]) -> dict[str, _Cell]:
    """A row for each percentile of a time, in milliseconds."""

    def row(percentile: Callable[[Percentiles], float]) -> _Cell:
        def cell(point: Point) -> str:
            found = times(point.figures)
            return "-" if found is None else f"{percentile(found) * 1e3:.1f}"

        return cell

    return {
        f"{name}, p50 ms": row(lambda found: found.p50),
        f"{name}, p90 ms": row(lambda found: found.p90),
        f"{name}, p95 ms": row(lambda found: found.p95),
        f"{name}, p99 ms": row(lambda found: found.p99),
    }


_ROWS: Final[Mapping[str, _Cell]] = {
    "requests done": lambda p: str(p.figures.counts.num_done),
    "requests refused": lambda p: str(p.figures.counts.num_refused),
    "requests failed": lambda p: str(p.figures.counts.num_failed),
    "prompt tokens": lambda p: _tokens(p.figures.tokens.num_prompt_tokens),
    "of them from cache": lambda p: _tokens(p.figures.tokens.num_cached_prompt_tokens),
    "output tokens": lambda p: _tokens(p.figures.tokens.num_output_tokens),
    "tokens per message": lambda p: _rate(p.figures.tokens.tokens_per_message),
    "window s": lambda p: _rate(p.figures.rates.window_s),
    "requests/s": lambda p: _rate(p.figures.rates.requests_per_s),
    "prompt tokens/s": lambda p: _tokens(p.figures.rates.prompt_tokens_per_s),
    "output tokens/s": lambda p: _tokens(p.figures.rates.tokens_per_s),
}
_GOOD_ROWS: Final[Mapping[str, _Cell]] = {
    "goodput, requests/s": lambda p: _rate(p.figures.rates.goodput_per_s),
    "good requests": lambda p: _share(p.figures.rates.good_share),
}
_TIME_ROWS: Final[Mapping[str, _Cell]] = {
    **_times("TTFT", lambda f: f.latencies.ttft_s),
    **_times("ITL", lambda f: f.latencies.itl_s),
    **_times("gap", lambda f: f.latencies.gap_s),
    **_times("TPOT", lambda f: f.latencies.tpot_s),
    **_times("total", lambda f: f.latencies.total_s),
    **_times("queue", lambda f: f.latencies.queue_s),
}
_GENERATOR_ROWS: Final[Mapping[str, _Cell]] = {
    "generator late, p99 ms": lambda p: (
        "-" if p.generator.lag_s is None else f"{p.generator.lag_s.p99 * 1e3:.1f}"
    ),
    "generator busy": lambda p: f"{p.generator.busy_share:.0%}",
}


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def as_text(report: Report) -> str:
    """What was asked, the figures, and what must be known to read them."""
    parts = [_head(report), _figures(report), *notes(report)]
    return "\n\n".join(parts) + "\n"


def point_line(point: Point) -> str:
    """One load in one line, as soon as it has ended."""
    counts, latencies = point.figures.counts, point.figures.latencies
    ttft = "-" if latencies.ttft_s is None else f"{latencies.ttft_s.p50 * 1e3:.1f} ms"
    return (
        f"{point.label}: {counts.num_done} done, {counts.num_refused} refused,"
        f" {counts.num_failed} failed; {_tokens(point.figures.rates.tokens_per_s)} output tokens/s,"
        f" median TTFT {ttft}"
    )


def _head(report: Report) -> str:
    asking = report.asking
    loop = "closed loop" if asking.arrivals == "closed" else f"open loop, {asking.arrivals}"
    shared = f" ({asking.num_shared} shared)" if asking.num_shared else ""
    bound = "" if report.bound is None else f"; good: {_bound(report.bound)}"
    return (
        f"{report.model.name}: {loop}; prompts {asking.prompts}{shared},"
        f" outputs {asking.output_lens}{bound}"
    )


def _bound(bound: LatencyBound) -> str:
    parts = (("TTFT", bound.ttft_s), ("ITL", bound.itl_s))
    return " and ".join(f"{name} ≤ {at_s:g} s" for name, at_s in parts if at_s is not None)


def _figures(report: Report) -> str:
    rows = {
        **_ROWS,
        **(_GOOD_ROWS if report.bound else {}),
        **_TIME_ROWS,
        **_GENERATOR_ROWS,
    }
    cells = [[name, *(cell(point) for point in report.points)] for name, cell in rows.items()]
    return aligned([["", *(point.label for point in report.points)], *cells])
