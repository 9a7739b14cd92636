"""What the figures of a load do not tell, or must not be believed about."""

from collections.abc import Iterator

from steeple_cli.benching.report import Point, Report

_KEPT_UP = 0.9


def notes(report: Report) -> Iterator[str]:
    """Sentences that begin with the load they are about."""
    for point in report.points:
        yield from (f"{point.label}: {note}" for note in _notes_of(point, report))


def _notes_of(point: Point, report: Report) -> Iterator[str]:
    yield from _reasons(point)
    if point.generator.is_bottleneck:
        yield (
            "the load generator itself did not keep up, so latencies are too high and rates may be"
            " its own: give it a machine or cores of its own, or less load"
        )
    counts, rates = point.figures.counts, point.figures.rates
    is_timed_open = report.asking.arrivals != "closed" and report.asking.duration_s is not None
    share = rates.requests_per_s * rates.window_s / counts.num_sent
    if is_timed_open and share < _KEPT_UP:
        yield (
            f"{share:.0%} of what arrived was done within the window: the load is more than is"
            " served, or the window short beside an answer"
        )


def _reasons(point: Point) -> Iterator[str]:
    counts = point.figures.counts
    for kind, reasons in (("refused", counts.refusals), ("failed", counts.failures)):
        if reasons:
            told = ", ".join(f"{reason} {number}" for reason, number in sorted(reasons.items()))
            yield f"{kind} with {told}"
