"""A histogram that takes many equal observations at once: tokens come by the dozen."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector


@dataclass(slots=True)
class _Observed:
    """What was observed under one value of the label."""

    counts: list[int]
    """By bucket; the last one has no upper bound."""
    total: float = field(default=0.0)


class Tally(Collector):
    """A histogram with one label. The library's takes one observation per call.

    Written by one thread; any other may scrape it meanwhile.

    Args:
        name: of the metric.
        text: what it tells.
        label: its name; callers must not be able to make up values.
        buckets: upper bounds, rising.
        registry: where it is scraped.
    """

    def __init__(
        self,
        name: str,
        text: str,
        label: str,
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._name, self._text, self._label = name, text, label
        self._buckets = tuple(buckets)
        self._bounds = [*map(str, self._buckets), "+Inf"]
        self._observed: dict[str, _Observed] = {}
        registry.register(self)

    def observe(self, value: str, amount: float, count: int) -> None:
        """Take `count` observations of `amount` each under the label's `value`."""
        observed = self._observed.get(value)
        if observed is None:
            observed = self._observed[value] = _Observed([0] * len(self._bounds))
        observed.counts[bisect_left(self._buckets, amount)] += count
        observed.total += amount * count

    def describe(self) -> Iterator[Metric]:
        """The metric without values: a registry asks for names when it is built."""
        yield self._family()

    def collect(self) -> Iterator[Metric]:
        """One scrape."""
        family = self._family()
        for value, observed in tuple(self._observed.items()):
            told = zip(self._bounds, map(float, accumulate(observed.counts)), strict=True)
            family.add_metric((value,), list(told), sum_value=observed.total)
        yield family

    def _family(self) -> HistogramMetricFamily:
        return HistogramMetricFamily(self._name, self._text, labels=(self._label,))
