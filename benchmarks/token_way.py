"""How long a token is on its way: from the engine's front to a caller of the gateway.

    python -m benchmarks.token_way [--requests 200] [--tokens 10] [--step-ms 5]

One request after the other, with the fake runner; it is the last token whose way is measured. When
the engine had it comes from the engine's span `decode`, which is told to a collector here; when it
came, from the caller's clock. All processes share the machine's. Told: median and p99.
"""

import argparse
import secrets
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import grpc
import uvloop
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from benchmarks.path_load import METHOD, PROMPT
from benchmarks.path_services import Services
from steeple.common.v1 import sampling_pb2
from steeple.inference.v1 import generate_pb2


@dataclass
class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps when the engine had each trace's last token, in nanoseconds since the epoch."""

    told_ns: dict[str, int] = field(default_factory=dict)

    async def Export(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802 - the contract's
        """See the OTLP contract."""
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    if span.name == "decode":
                        self.told_ns[span.trace_id.hex()] = span.end_time_unix_nano
        return trace_service_pb2.ExportTraceServiceResponse()


async def ask(channel: grpc.aio.Channel, trace_id: str, num_tokens: int) -> int:
    """Run a request; when its last text came, in nanoseconds since the epoch."""
    call: Any = channel.unary_stream(
        METHOD,
        request_serializer=generate_pb2.GenerateStreamRequest.SerializeToString,
        response_deserializer=generate_pb2.GenerateStreamResponse.FromString,
    )
    request = generate_pb2.GenerateStreamRequest(
        text=PROMPT,
        sampling=sampling_pb2.SamplingParams(temperature=0.0),
        stopping=sampling_pb2.StoppingParams(max_tokens=num_tokens, ignore_eos=True),
    )
    traceparent = f"00-{trace_id}-{secrets.token_hex(8)}-01"
    came_ns = 0
    async for response in call(request, metadata=(("traceparent", traceparent),)):
        if response.HasField("delta"):
            came_ns = time.time_ns()
    return came_ns


async def measure(num_requests: int, num_tokens: int, step_ms: float) -> list[float]:
    """Milliseconds of each token's way, but for the first ten, in ascending order."""
    collector = Collector()
    server = grpc.aio.server()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call] # no types
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    environment = {
        "STEEPLE_ENGINE_FAKE_STEP_MS": str(step_ms),
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
    }
    came_ns = {}
    async with (
        Services(["--runner=fake"], environment) as services,
        grpc.aio.insecure_channel(services.target) as channel,
    ):
        for _ in range(num_requests):
            trace_id = secrets.token_hex(16)
            came_ns[trace_id] = await ask(channel, trace_id, num_tokens)
    # The services have told the rest of their spans on their way to the end.
    await server.stop(None)
    warm = list(came_ns)[10:]
    return sorted((came_ns[trace] - collector.told_ns[trace]) / 1e6 for trace in warm)


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=10)
    parser.add_argument("--step-ms", type=float, default=5.0)
    given = parser.parse_args()
    took = uvloop.run(measure(given.requests, given.tokens, given.step_ms))
    p99 = took[int(0.99 * (len(took) - 1))]
    print(f"a token's way: {statistics.median(took):.2f} ms (p99 {p99:.2f}), {len(took)} tokens")


if __name__ == "__main__":
    main()
