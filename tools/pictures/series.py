"""What a Prometheus answers over a span of time."""

import json
import math
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Evenly spaced moments, both ends among them."""

    start_s: float
    """Unix time."""
    length_s: float
    step_s: float

    @property
    def offsets_s(self) -> list[float]:
        """The moments, counted from the first."""
        return [index * self.step_s for index in range(int(self.length_s / self.step_s) + 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line of an answer."""

    labels: Mapping[str, str]
    values: Sequence[float]
    """One for each moment of the span; NaN where there is none."""


def series_over(address: str, query: str, span: Span) -> list[Series]:
    """Ask one question.

    Args:
        address: of the Prometheus, HOST:PORT.
        query: in PromQL, without Grafana's variables.
        span: what is looked at.

    Raises:
        HTTPError: it does not take the query.
    """
    last_s = span.start_s + span.offsets_s[-1]
    asked = {"query": query, "start": span.start_s, "end": last_s, "step": span.step_s}
    url = f"http://{address}/api/v1/query_range?{urllib.parse.urlencode(asked)}"
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
        told = json.load(answer)
    return [_series(result, span) for result in told["data"]["result"]]


# JSON of a form that Prometheus documents.
def _series(result: Mapping[str, Any], span: Span) -> Series:
    values = [math.nan] * len(span.offsets_s)
    for at_s, value in result["values"]:
        values[round((float(at_s) - span.start_s) / span.step_s)] = float(value)
    labels = {name: str(value) for name, value in result["metric"].items()}
    return Series(labels=labels, values=values)
