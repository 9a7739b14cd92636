"""Traces: a span per RPC at the border and one per call upstream, joined by W3C traceparent.

Spans hold names, counts and times, never content. Without an exporter nothing is recorded, and a
caller's trace is still passed on. The streams between services have no span: they live as long as
the gateway and belong to no request. Requests that travel on one have their own.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

import grpc
from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    NoOpTracer,
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    format_trace_id,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from steeple_rpc.errors import ServiceError
from steeple_rpc.observing import Metadata, RpcEnd

Attributes: TypeAlias = Mapping[str, str | int | float | Sequence[str]]

_OURS = "/steeple."
# Asked again and again by machines, or without an end.
_UNTRACED = (
    "/steeple.engine.v1.EngineService/GetLoad",
    "/steeple.engine.v1.EngineService/GetEngineInfo",
    "/steeple.engine.v1.EngineService/StepStream",
    "/steeple.inference.v1.LoadService/GetLoad",
    "/steeple.inference.v1.LoadService/WatchLoad",
    "/steeple.tokenizer.v1.TokenizerService/GetTokenizerInfo",
    "/steeple.tokenizer.v1.TokenizerService/Detokenize",
)
# Of a server, by the conventions: others are its caller's affair.
_SERVER_ERRORS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
_propagator = TraceContextTextMapPropagator()


class RpcTrace:
    """The trace of one RPC, as its handler adds to it.

    Args:
        tracer: makes further spans.
        span: the RPC's own.
    """

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer = tracer
        self._span = span

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits; empty where there is no trace."""
        context = self._span.get_span_context()
        return format_trace_id(context.trace_id) if context.is_valid else ""

    def note(self, attributes: Attributes) -> None:
        """Add attributes to the RPC's span."""
        self._span.set_attributes(attributes)

    def event(self, name: str, attributes: Attributes | None = None) -> None:
        """Something happens now."""
        self._span.add_event(name, attributes)

    def phases(self, *phases: tuple[str, float]) -> None:
        """Add a span for each (name, seconds): they followed each other, the last ends now."""
        end = time.time_ns()
        for name, seconds in reversed(phases):
            start = end - int(seconds * 1e9)
            span = self._tracer.start_span(
                name, context=set_span_in_context(self._span, Context()), start_time=start
            )
            span.end(end_time=end)
            end = start

    @contextmanager
    def call(self, method: str) -> Iterator[tuple[tuple[str, str], ...]]:
        """A span around a call to `method` of another service; the metadata that carries it on."""
        context = set_span_in_context(self._span, Context())
        span = self._tracer.start_span(
            method.removeprefix("/"), context, SpanKind.CLIENT, _attributes(method)
        )
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, set_span_in_context(span, Context()))
        try:
            yield tuple(carrier.items())
        except ServiceError as error:
            span.set_attribute("error.type", error.reason)
            span.set_status(Status(StatusCode.ERROR))
            raise
        finally:
            span.end()


_current: ContextVar[RpcTrace] = ContextVar("steeple_rpc_trace")


def current_trace() -> RpcTrace:
    """The trace of the RPC that the running task handles; an empty one elsewhere."""
    return _current.get(None) or RpcTrace(NoOpTracer(), INVALID_SPAN)


class Tracing:
    """Makes the spans of a server's RPCs: an `RpcObserver`.

    Args:
        tracer: of the process.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def begin(self, method: str, metadata: Metadata) -> RpcEnd:
        """See `RpcObserver.begin`. A traceparent that is not well-formed is as none."""
        if not method.startswith(_OURS) or method in _UNTRACED:
            return _untold
        carrier = {key: value for key, value in metadata if isinstance(value, str)}
        span = self._tracer.start_span(
            method.removeprefix("/"),
            _propagator.extract(carrier, Context()),
            SpanKind.SERVER,
            _attributes(method),
        )
        _current.set(RpcTrace(self._tracer, span))

        def end(code: grpc.StatusCode, reason: str) -> None:
            span.set_attribute("rpc.grpc.status_code", code.value[0])
            if reason:
                span.set_attribute("error.type", reason)
            if code in _SERVER_ERRORS:
                span.set_status(Status(StatusCode.ERROR))
            span.end()

        return end


def _untold(code: grpc.StatusCode, reason: str) -> None:
    pass


def _attributes(method: str) -> dict[str, str]:
    service, _, name = method.removeprefix("/").partition("/")
    return {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}
