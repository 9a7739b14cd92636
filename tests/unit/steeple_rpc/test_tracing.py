"""Spans of RPCs and of calls upstream, and what happens to them where nobody takes them."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NoOpTracer, SpanKind, StatusCode, Tracer
from prometheus_client import CollectorRegistry

from steeple.inference.v1 import generate_pb2, inference_service_pb2_grpc
from steeple_rpc.channel import open_channel
from steeple_rpc.errors import EngineFault, Overloaded
from steeple_rpc.trace_export import MAX_WAITING_SPANS, SpanMetrics, traced
from steeple_rpc.tracing import Tracing, current_trace
from tests.support.scraping import read
from tests.support.scripted import ScriptedInference
from tests.support.servers import serving
from tests.support.waiting import eventually

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
GENERATE = "steeple.inference.v1.InferenceService/Generate"
UPSTREAM = "/steeple.engine.v1.EngineService/Generate"


class Recording:
    """A tracer and the spans that it has made."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.registry = CollectorRegistry()
        self._made = traced("test", self.exporter, SpanMetrics(self.registry))

    def __enter__(self) -> Tracer:
        return self._made.__enter__()

    def __exit__(self, *_: object) -> None:
        self._made.__exit__(None, None, None)

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        """By name; complete after the block."""
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
def recording() -> Recording:
    return Recording()


async def ask(tracer: Tracer, script: Any, *metadata: tuple[str, str]) -> None:
    """One Generate with this metadata, answered by the script."""
    servicer = ScriptedInference(generate=script)
    async with (
        serving(servicer.add_to, observers=[Tracing(tracer)]) as at,
        open_channel(at.address) as channel,
    ):
        stub = inference_service_pb2_grpc.InferenceServiceStub(channel)
        call = stub.Generate(generate_pb2.GenerateRequest(), metadata=metadata)
        await asyncio.wait([asyncio.ensure_future(call.code())])


async def answer(request: Any) -> generate_pb2.GenerateResponse:
    return generate_pb2.GenerateResponse()


async def test_an_rpc_continues_its_callers_trace(recording: Recording) -> None:
    with recording as tracer:
        await ask(tracer, answer, ("traceparent", f"00-{TRACE}-{PARENT}-01"))
    span = recording.spans[GENERATE]
    assert f"{span.context.trace_id:032x}" == TRACE
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == PARENT
    assert span.kind is SpanKind.SERVER
    assert span.attributes == {
        "rpc.system": "grpc",
        "rpc.service": "steeple.inference.v1.InferenceService",
        "rpc.method": "Generate",
        "rpc.grpc.status_code": 0,
    }


@pytest.mark.parametrize("given", ["", "x", f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{PARENT}"])
async def test_a_traceparent_that_is_none_begins_a_trace_of_its_own(
    recording: Recording, given: str
) -> None:
    with recording as tracer:
        await ask(tracer, answer, ("traceparent", given))
    assert recording.spans[GENERATE].parent is None


async def test_an_error_of_ours_marks_the_span_and_a_refusal_does_not(recording: Recording) -> None:
    async def fault(request: Any) -> Any:
        raise EngineFault("secret", reason="STEP_FAILED")

    async def refuse(request: Any) -> Any:
        raise Overloaded("secret", reason="QUEUE_FULL")

    with recording as tracer:
        await ask(tracer, fault)
        await ask(tracer, refuse)
    failed, refused = recording.exporter.get_finished_spans()
    assert (failed.status.status_code, refused.status.status_code) == (
        StatusCode.ERROR,
        StatusCode.UNSET,
    )
    assert failed.attributes is not None
    assert failed.attributes["error.type"] == "STEP_FAILED"
    assert "secret" not in failed.to_json() + refused.to_json()


async def test_a_call_upstream_is_a_child_and_its_metadata_names_it(recording: Recording) -> None:
    carried: list[str] = []

    async def call_on(request: Any) -> generate_pb2.GenerateResponse:
        with current_trace().call(UPSTREAM) as metadata:
            carried.extend(dict(metadata).values())
        current_trace().phases(("queue", 1.0), ("decode", 2.0))
        return generate_pb2.GenerateResponse()

    with recording as tracer:
        await ask(tracer, call_on)
    server, client = recording.spans[GENERATE], recording.spans[UPSTREAM.removeprefix("/")]
    assert client.kind is SpanKind.CLIENT
    assert client.parent == server.context
    ids = f"{client.context.trace_id:032x}-{client.context.span_id:016x}"
    # The last two digits say that it is sampled, and how the trace's id was drawn.
    assert [value[:-2] for value in carried] == [f"00-{ids}-"]
    queue, decode = recording.spans["queue"], recording.spans["decode"]
    assert queue.parent == decode.parent == server.context
    assert queue.end_time == decode.start_time
    assert queue.start_time is not None
    assert decode.end_time is not None
    assert decode.end_time - queue.start_time == 3_000_000_000


async def test_without_an_exporter_a_callers_trace_is_passed_on() -> None:
    seen: list[object] = []

    async def call_on(request: Any) -> generate_pb2.GenerateResponse:
        with current_trace().call(UPSTREAM) as metadata:
            seen.extend([current_trace().trace_id, dict(metadata)])
        return generate_pb2.GenerateResponse()

    parent = f"00-{TRACE}-{PARENT}-01"
    await ask(NoOpTracer(), call_on, ("traceparent", parent))
    await ask(NoOpTracer(), call_on)
    assert seen == [TRACE, {"traceparent": parent}, "", {}]


async def test_machines_questions_have_no_span(recording: Recording) -> None:
    with recording as tracer:
        async with (
            serving(observers=[Tracing(tracer)]) as at,
            open_channel(at.address) as channel,
        ):
            with pytest.raises(grpc.aio.AioRpcError):
                await _check(channel)
    assert recording.spans == {}


async def _check(channel: grpc.aio.Channel) -> None:
    call: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
    await call(b"\x0a\x02no")


class Stuck(SpanExporter):
    """A collector that does not answer until it is let go."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.entered = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.entered.set()
        self.go_on.wait(30)
        return SpanExportResult.FAILURE


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    exporter = Stuck()
    yield exporter
    exporter.go_on.set()


def test_what_does_not_fit_or_cannot_be_sent_is_dropped_and_counted(stuck: Stuck) -> None:
    """Ending a span never waits."""
    registry = CollectorRegistry()
    with traced("test", stuck, SpanMetrics(registry)) as tracer:
        for _ in range(MAX_WAITING_SPANS + 7):
            tracer.start_span("s").end()
        assert stuck.entered.wait(30)
        told = read(registry)
        assert told.value("steeple_spans_dropped_total", reason="queue_full") == 7
        stuck.go_on.set()
    eventually(
        lambda: (
            read(registry).value("steeple_spans_dropped_total", reason="export_failed")
            == MAX_WAITING_SPANS
        )
    )
