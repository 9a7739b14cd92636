"""Sends spans to an OpenTelemetry collector, from a thread of its own.

No request ever waits for it: what does not fit into the queue, or cannot be sent, is dropped and
counted. Imported only where an endpoint is set, for the library is large.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Tracer
from prometheus_client import CollectorRegistry, Counter

from steeple_rpc.telemetry import logger

MAX_WAITING_SPANS = 4096
BATCH_SPANS = 512
PAUSE_MS = 500
EXPORT_TIMEOUT_S = 5.0
LAST_EXPORT_S = 2.0
_QUEUE_FULL, _EXPORT_FAILED = "queue_full", "export_failed"


class SpanMetrics:
    """Counts what became of spans."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.exported = Counter(
            "steeple_spans_exported", "Spans that the collector took.", registry=registry
        )
        self.dropped = Counter(
            "steeple_spans_dropped",
            "Spans that were lost: queue_full or export_failed.",
            ("reason",),
            registry=registry,
        )
        for reason in (_QUEUE_FULL, _EXPORT_FAILED):
            self.dropped.labels(reason)


@contextmanager
def exporting(service: str, endpoint: str, registry: CollectorRegistry) -> Iterator[Tracer]:
    """A tracer whose spans go to the collector; at the end, what waits is sent for a moment.

    Args:
        service: as spans name it.
        endpoint: http:// or https:// of an OTLP receiver over gRPC.
        registry: told what became of spans.
    """
    # It would tell each failure; the exporter below tells the first of a row, and counts all.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    exporter = OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_TIMEOUT_S)
    with traced(service, exporter, SpanMetrics(registry)) as tracer:
        yield tracer


@contextmanager
def traced(service: str, exporter: SpanExporter, metrics: SpanMetrics) -> Iterator[Tracer]:
    """A tracer whose spans go through the bounded queue to `exporter`."""
    provider = TracerProvider(
        resource=Resource.create({"service.name": f"steeple-{service}"}), shutdown_on_exit=False
    )
    provider.add_span_processor(BoundedProcessor(exporter, metrics))
    try:
        yield provider.get_tracer("steeple")
    finally:
        # A collector that does not answer must not hold up the end of the process.
        ending = threading.Thread(target=provider.shutdown, daemon=True)
        ending.start()
        ending.join(LAST_EXPORT_S)


class BoundedProcessor(SpanProcessor):
    """Lets so many spans wait for the exporter; the next ones are dropped and counted."""

    def __init__(
        self,
        exporter: SpanExporter,
        metrics: SpanMetrics,
        *,
        max_waiting: int = MAX_WAITING_SPANS,
    ) -> None:
        self._metrics = metrics
        self._max_waiting = max_waiting
        self._num_waiting = 0
        self._lock = threading.Lock()
        self._batches = BatchSpanProcessor(
            _Counted(exporter, metrics, self._left),
            max_queue_size=2 * max_waiting,
            max_export_batch_size=min(BATCH_SPANS, max_waiting),
            schedule_delay_millis=PAUSE_MS,
        )

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a span that has ended, if there is room."""
        with self._lock:
            has_room = self._num_waiting < self._max_waiting
            self._num_waiting += has_room
        if has_room:
            self._batches.on_end(span)
        else:
            self._metrics.dropped.labels(_QUEUE_FULL).inc()

    def shutdown(self) -> None:
        """Send what waits, then end."""
        self._batches.shutdown()  # type: ignore[no-untyped-call] # the library's

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what waits; whether it went."""
        return self._batches.force_flush(timeout_millis)

    def _left(self, count: int) -> None:
        with self._lock:
            self._num_waiting -= count


class _Counted(SpanExporter):
    """An exporter that says how it went: each batch to the metrics, each change to the log."""

    def __init__(
        self, exporter: SpanExporter, metrics: SpanMetrics, left: Callable[[int], None]
    ) -> None:
        self._exporter = exporter
        self._metrics = metrics
        self._left = left
        self._is_failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export a batch; its spans wait no longer, however that goes."""
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            self._left(len(spans))
            self._note(len(spans), is_ok=result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        """End the exporter."""
        self._exporter.shutdown()

    def _note(self, count: int, *, is_ok: bool) -> None:
        if is_ok:
            self._metrics.exported.inc(count)
        else:
            self._metrics.dropped.labels(_EXPORT_FAILED).inc(count)
        if self._is_failing == is_ok:
            self._is_failing = not is_ok
            (logger().info if is_ok else logger().warning)("span_export", works=is_ok)
