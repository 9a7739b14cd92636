"""The figures of a load, from its samples. Times in seconds; None where nothing was seen.

Latencies are of the requests that were sent to be measured. Rates are of everything that reached
its caller within the window, warm-up included: what is still under way when a window closes is made
up for by what was under way when it opened.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from steeple_cli.load.history import End
from steeple_cli.load.percentiles import Percentiles, percentiles
from steeple_cli.load.sample import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyBound:
    """What a request must keep to count as good; None = whatever."""

    ttft_s: float | None = None
    itl_s: float | None = None
    """Of its tokens on average."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The time that is measured, on the callers' clock."""

    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        """How long it is."""
        return self.end_s - self.start_s

    def has(self, at_s: float) -> bool:
        """Whether it was then; the ends belong to it."""
        return self.start_s <= at_s <= self.end_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many requests there were, warm-up left out."""

    num_sent: int
    num_done: int
    num_left: int
    """Their callers cancelled."""
    num_refused: int
    refusals: Mapping[str, int]
    """How many were refused with each reason, because the server was full."""
    num_failed: int
    failures: Mapping[str, int]
    """How many others ended with each reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """How much was computed for the requests that were done."""

    num_prompt_tokens: int
    num_cached_prompt_tokens: int
    num_output_tokens: int
    tokens_per_message: float | None
    """More than 1 where messages were coalesced, or text held back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What reached callers per second of the window."""

    window_s: float
    requests_per_s: float
    """Done."""
    prompt_tokens_per_s: float
    """Of requests whose first token came."""
    tokens_per_s: float
    """Delivered, whatever the end."""
    goodput_per_s: float | None
    """Requests done within the bound; None without one."""
    good_share: float | None
    """Of all that were sent to be measured, how many were done within the bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """What callers waited for; of requests done, where nothing else is said."""

    ttft_s: Percentiles | None
    itl_s: Percentiles | None
    """Over all tokens of all requests."""
    gap_s: Percentiles | None
    """Between messages, which is what a reader sees."""
    tpot_s: Percentiles | None
    """Each request's mean time per token after its first."""
    total_s: Percentiles | None
    queue_s: Percentiles | None
    """What the server says that requests waited there."""
    failed_after_s: Percentiles | None
    """How long a refusal or failure took to be told."""
    sent_late_s: Percentiles | None
    """Between the time a request was due and its sending, whatever its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFigures:
    """What a load saw."""

    counts: Counts
    tokens: Tokens
    rates: Rates
    latencies: Latencies


def whole_of(samples: Sequence[Sample]) -> Window:
    """From the first measured request to the last end of one; `samples` has some."""
    measured = [sample for sample in samples if not sample.is_warm_up]
    return Window(
        start_s=min(sample.start_s for sample in measured),
        end_s=max(sample.ended_s for sample in measured),
    )


def figures(
    samples: Sequence[Sample],
    *,
    bound: LatencyBound | None = None,
    window: Window | None = None,
) -> LoadFigures:
    """Sum up a load.

    Args:
        samples: all of it; one at least is no warm-up.
        bound: what counts for goodput.
        window: over which rates are; None = the whole of it.
    """
    window = window or whole_of(samples)
    measured = [sample for sample in samples if not sample.is_warm_up]
    return LoadFigures(
        counts=_counts(measured),
        tokens=_token_counts(_done(measured)),
        rates=_rates(samples, window, bound),
        latencies=_latencies(measured),
    )


def _done(samples: Iterable[Sample]) -> list[Sample]:
    return [sample for sample in samples if sample.end is End.DONE]


def _counts(measured: Sequence[Sample]) -> Counts:
    failed = [sample for sample in measured if sample.end is End.FAILED]
    refusals = _reasons(sample for sample in failed if sample.is_refused)
    failures = _reasons(sample for sample in failed if not sample.is_refused)
    return Counts(
        num_sent=len(measured),
        num_done=len(_done(measured)),
        num_left=sum(sample.end is End.LEFT for sample in measured),
        num_refused=sum(refusals.values()),
        refusals=refusals,
        num_failed=sum(failures.values()),
        failures=failures,
    )


def _reasons(samples: Iterable[Sample]) -> dict[str, int]:
    return dict(Counter(sample.reason for sample in samples))


def _token_counts(done: Sequence[Sample]) -> Tokens:
    num_messages = sum(len(sample.counts) for sample in done)
    num_output_tokens = sum(sample.num_tokens for sample in done)
    return Tokens(
        num_prompt_tokens=sum(sample.num_prompt_tokens for sample in done),
        num_cached_prompt_tokens=sum(sample.num_cached_prompt_tokens for sample in done),
        num_output_tokens=num_output_tokens,
        tokens_per_message=num_output_tokens / num_messages if num_messages else None,
    )


def _rates(samples: Sequence[Sample], window: Window, bound: LatencyBound | None) -> Rates:
    ended = [sample for sample in _done(samples) if window.has(sample.ended_s)]
    started = [s for s in samples if s.times_s and window.has(s.times_s[0])]
    num_tokens = sum(_tokens_within(sample, window) for sample in samples)
    num_prompt_tokens = sum(sample.num_prompt_tokens for sample in started)
    measured = [sample for sample in samples if not sample.is_warm_up]
    return Rates(
        window_s=window.length_s,
        requests_per_s=len(ended) / window.length_s,
        prompt_tokens_per_s=num_prompt_tokens / window.length_s,
        tokens_per_s=num_tokens / window.length_s,
        goodput_per_s=None if bound is None else _num_good(ended, bound) / window.length_s,
        good_share=None if bound is None else _num_good(_done(measured), bound) / len(measured),
    )


def _tokens_within(sample: Sample, window: Window) -> int:
    """Output tokens whose messages came within the window."""
    rises = zip(sample.times_s, pairwise((0, *sample.counts)), strict=True)
    return sum(now - before for at_s, (before, now) in rises if window.has(at_s))


def _num_good(done: Iterable[Sample], bound: LatencyBound) -> int:
    return sum(_is_good(sample, bound) for sample in done)


def _is_good(sample: Sample, bound: LatencyBound) -> bool:
    """Whether it keeps the bound; what made no token keeps none."""
    if sample.ttft_s is None:
        return False
    if bound.ttft_s is not None and sample.ttft_s > bound.ttft_s:
        return False
    itl = sample.itl_s
    return bound.itl_s is None or not itl or sum(itl) / len(itl) <= bound.itl_s


def _latencies(measured: Sequence[Sample]) -> Latencies:
    done = _done(measured)
    return Latencies(
        ttft_s=percentiles(s.ttft_s for s in done if s.ttft_s is not None),
        itl_s=percentiles(itl for sample in done for itl in sample.itl_s),
        gap_s=percentiles(gap for sample in done for gap in sample.gaps_s),
        tpot_s=percentiles(s.tpot_s for s in done if s.tpot_s is not None),
        total_s=percentiles(sample.total_s for sample in done),
        queue_s=percentiles(s.queue_s for s in done if s.queue_s is not None),
        failed_after_s=percentiles(s.total_s for s in measured if s.end is End.FAILED),
        sent_late_s=percentiles(sample.sent_s - sample.start_s for sample in measured),
    )
