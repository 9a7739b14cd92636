"""Metrics that every service has: its process and its RPCs. docs/metrics.md tells all names.

A process makes one registry and hands it on; nothing is registered globally. What callers can make
up never becomes the value of a label, for each value is kept until the process ends.
"""

import time
from collections.abc import Iterable

import grpc
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from steeple_rpc.observing import Metadata, RpcEnd
from steeple_rpc.status import CODES

OTHER = "OTHER"
MAX_LABEL_VALUES = 100
DURATION_BUCKETS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0),
)
"""Seconds: from an encode of a word to the longest answer."""
TOKEN_BUCKETS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5, 10.0),
)
"""Seconds: what a token or a step may take."""


def make_registry() -> CollectorRegistry:
    """A registry that knows this process: CPU seconds, memory, descriptors, start."""
    # The library's one switch for all registries: a second series per counter, of its birth.
    disable_created_metrics()  # type: ignore[no-untyped-call] # the library's
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


class BoundedLabel:
    """Keeps the values of a label to a number: what comes after them is OTHER.

    Args:
        max_values: values that are kept as they are.
    """

    def __init__(self, max_values: int = MAX_LABEL_VALUES) -> None:
        self._max_values = max_values
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        """The value, or OTHER."""
        if value not in self._known:
            if len(self._known) >= self._max_values:
                return OTHER
            self._known.add(value)
        return value


class RpcMetrics:
    """Counts the RPCs of a server: an `RpcObserver`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._reason = BoundedLabel()
        self._rpcs = Counter(
            "steeple_rpcs", "RPCs that have ended.", ("method", "code"), registry=registry
        )
        self._errors = Counter(
            "steeple_rpc_errors",
            "RPCs that ended with an error, by its reason.",
            ("method", "reason"),
            registry=registry,
        )
        self._durations = Histogram(
            "steeple_rpc_duration_seconds",
            "From an RPC's start to its end.",
            ("method",),
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        self._in_flight = Gauge(
            "steeple_rpcs_in_flight", "RPCs running now.", ("method",), registry=registry
        )

    def serve(self, methods: Iterable[str]) -> None:
        """Count these methods by every code from 0 on; reasons are too many for that.

        Args:
            methods: full names, as observers are told them.
        """
        for method in methods:
            for code in CODES:
                self._rpcs.labels(method, code.name)

    def begin(self, method: str, metadata: Metadata) -> RpcEnd:  # noqa: ARG002 - an RpcObserver's
        """See `RpcObserver.begin`."""
        start = time.monotonic()
        in_flight = self._in_flight.labels(method)
        in_flight.inc()

        def end(code: grpc.StatusCode, reason: str) -> None:
            self._rpcs.labels(method, code.name).inc()
            self._durations.labels(method).observe(time.monotonic() - start)
            if reason:
                self._errors.labels(method, self._reason(reason)).inc()
            # Last: a scrape on another thread that sees it gone sees it counted.
            in_flight.dec()

        return end
