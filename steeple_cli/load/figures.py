"""The figures of a load, from its histories. Times in seconds; None where nothing was seen."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from steeple_cli.load.history import End, History
from steeple_cli.percentiles import Percentiles, percentiles


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyBound:
    """What a request must keep to count as good."""

    ttft_s: float
    itl_s: float
    """Of its tokens on average."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFigures:
    """What a load saw."""

    num_done: int
    num_left: int
    failures: Mapping[str, int]
    """How many ended with each reason."""
    span_s: float
    """From the first request sent to the last end."""
    requests_per_s: float
    """Done."""
    tokens_per_s: float
    """Delivered, whatever the end."""
    goodput_per_s: float | None
    """Requests done within the bound; None without one."""
    ttft_s: Percentiles | None
    itl_s: Percentiles | None
    total_s: Percentiles | None
    """Of the requests done."""
    failed_after_s: Percentiles | None
    """How long a failure took to be told."""


def figures(histories: Sequence[History], bound: LatencyBound | None = None) -> LoadFigures:
    """Sum up a load.

    Args:
        histories: all of it; not empty.
        bound: what counts for goodput.
    """
    done = [history for history in histories if history.end is End.DONE]
    failed = [history for history in histories if history.end is End.FAILED]
    span_s = max(h.ended_s for h in histories) - min(h.sent_s for h in histories)
    num_good = None if bound is None else sum(_is_good(history, bound) for history in done)
    return LoadFigures(
        num_done=len(done),
        num_left=len(histories) - len(done) - len(failed),
        failures=dict(Counter(_reason(history) for history in failed)),
        span_s=span_s,
        requests_per_s=len(done) / span_s,
        tokens_per_s=sum(history.num_tokens for history in histories) / span_s,
        goodput_per_s=None if num_good is None else num_good / span_s,
        ttft_s=percentiles(h.ttft_s for h in done if h.ttft_s is not None),
        itl_s=percentiles(gap for history in done for gap in history.itl_s),
        total_s=percentiles(history.ended_s - history.sent_s for history in done),
        failed_after_s=percentiles(history.ended_s - history.sent_s for history in failed),
    )


def _reason(history: History) -> str:
    return "" if history.error is None else history.error.reason


def _is_good(history: History, bound: LatencyBound) -> bool:
    if history.ttft_s is None or history.ttft_s > bound.ttft_s:
        return False
    gaps = history.itl_s
    return not gaps or sum(gaps) / len(gaps) <= bound.itl_s
