"""One request's spans arrive at a collector from three real processes, as one trace."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from steeple.common.v1 import sampling_pb2
from steeple.inference.v1 import generate_pb2, inference_service_pb2_grpc
from steeple_rpc.channel import open_sync_channel
from tests.integration.conftest import FAKE
from tests.support.deployment import Deployment, wait_for_event
from tests.support.waiting import eventually

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
CANARY = "xyzzy-canary"
SPANS = {
    ("steeple-gateway", "steeple.inference.v1.InferenceService/Generate"),
    ("steeple-gateway", "steeple.tokenizer.v1.TokenizerService/Encode"),
    ("steeple-gateway", "steeple.engine.v1.EngineService/Generate"),
    ("steeple-tokenizer", "steeple.tokenizer.v1.TokenizerService/Encode"),
    ("steeple-engine", "steeple.engine.v1.EngineService/Generate"),
    ("steeple-engine", "queue"),
    ("steeple-engine", "prefill"),
    ("steeple-engine", "decode"),
}


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps the spans that it is sent: (service, span)."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []
        self.lock = threading.Lock()

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - named by the contract
        with self.lock:
            for resource in request.resource_spans:
                facts = {a.key: a.value.string_value for a in resource.resource.attributes}
                for scope in resource.scope_spans:
                    self.spans += [(facts["service.name"], span) for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    def of(self, trace: str) -> list[tuple[str, Any]]:
        """The spans of one trace."""
        with self.lock:
            return [(s, span) for s, span in self.spans if span.trace_id.hex() == trace]


def names(spans: list[tuple[str, Any]]) -> set[tuple[str, str]]:
    """Services, and what they name their spans."""
    return {(service, span.name) for service, span in spans}


@pytest.fixture
def collector() -> Iterator[tuple[Collector, str]]:
    """A collector and its endpoint."""
    servicer = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call] # no types
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"http://127.0.0.1:{port}"
    server.stop(0).wait()


def generate(target: str, text: str) -> None:
    with open_sync_channel(target) as channel:
        stub = inference_service_pb2_grpc.InferenceServiceStub(channel)
        stopping = sampling_pb2.StoppingParams(max_tokens=5, ignore_eos=True)
        stub.Generate(
            generate_pb2.GenerateRequest(text=text, stopping=stopping),
            metadata=(("traceparent", f"00-{TRACE}-{PARENT}-01"),),
            timeout=30,
        )


def deployment(demo_dir: Path, endpoint: str) -> Deployment:
    to = [f"--otlp-endpoint={endpoint}"]
    return Deployment(demo_dir, engine=[*FAKE, *to], gateway=to, tokenizer=to)


def test_three_processes_tell_one_trace(demo_dir: Path, collector: tuple[Collector, str]) -> None:
    """Every span's parent is there, the first one's is the caller's; no span holds content."""
    servicer, endpoint = collector
    with deployment(demo_dir, endpoint) as deployed:
        generate(deployed.target, f"hello {CANARY}")
        eventually(lambda: names(servicer.of(TRACE)) >= SPANS)
        assert deployed.gateway is not None
        wait_for_event(deployed.gateway, "request_finished")
        log = next(e for e in deployed.gateway.events if e["event"] == "request_finished")
        assert log["trace_id"] == TRACE
    told = servicer.of(TRACE)
    assert names(told) == SPANS
    ids = {span.span_id.hex() for _, span in told} | {PARENT}
    assert {span.parent_span_id.hex() for _, span in told} <= ids
    assert CANARY not in str(told)
    (request,) = [span for _, span in told if span.parent_span_id.hex() == PARENT]
    facts = {a.key: a.value for a in request.attributes}
    assert facts["gen_ai.request.model"].string_value == "demo"
    assert facts["gen_ai.usage.output_tokens"].int_value == 5
    assert [event.name for event in request.events] == ["admitted", "started", "first_token"]


def test_requests_do_not_notice_that_no_collector_is_there(demo_dir: Path) -> None:
    """One warning tells it; the process ends in time."""
    with deployment(demo_dir, "http://127.0.0.1:9") as deployed:
        for index in range(3):
            generate(deployed.target, f"hello {index}")
        assert deployed.gateway is not None
        wait_for_event(deployed.gateway, "span_export")
        told = [e for e in deployed.gateway.events if e["event"] == "span_export"]
        assert [(e["level"], e["works"]) for e in told] == [("warning", False)]
        assert not [e for e in deployed.gateway.events if e.get("level") == "raw"]
