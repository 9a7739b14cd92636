"""The gateway's process: `python -m gateway --tokenizer ADDRESS --engine ADDRESS`."""

import asyncio
import sys

import grpc
import uvloop

from gateway.access import Access
from gateway.admission import Admission
from gateway.backends import Backends
from gateway.metrics import GatewayMetrics
from gateway.pipeline import Pipeline
from gateway.request_limits import RequestLimits
from gateway.services.embedding import EmbeddingService
from gateway.services.inference import InferenceService
from gateway.services.models import ModelService
from gateway.services.tokenization import TokenizationService
from gateway.settings import GatewaySettings
from gateway.takeover import TakeoverLimits
from steeple.inference.v1 import (
    embedding_service_pb2,
    embedding_service_pb2_grpc,
    inference_service_pb2,
    inference_service_pb2_grpc,
    model_service_pb2,
    model_service_pb2_grpc,
    tokenization_service_pb2,
    tokenization_service_pb2_grpc,
)
from steeple_rpc.lifecycle import Lifecycle
from steeple_rpc.live_calls import LiveCalls
from steeple_rpc.observed import Observed, observed
from steeple_rpc.refused import SettingRefused
from steeple_rpc.server import add_health, add_reflection, bind, make_server
from steeple_rpc.settings import USAGE_ERROR, load_settings
from steeple_rpc.telemetry import configure_logging, logger

# Read from the descriptors: reflection finds only what was imported, and the stubs of a service
# do not import the file that defines it.
SERVICES = tuple(
    service.full_name
    for file in (
        inference_service_pb2,
        embedding_service_pb2,
        tokenization_service_pb2,
        model_service_pb2,
    )
    for service in file.DESCRIPTOR.services_by_name.values()
)


async def serve(settings: GatewaySettings, seen: Observed) -> None:
    """Serve until told to stop.

    Raises:
        SettingRefused: an address or a file cannot be used.
    """
    clock = asyncio.get_running_loop().time
    access = Access(settings, clock)
    backends = Backends(
        tokenizer=settings.tokenizer,
        engines=settings.engine,
        clock=clock,
        tls=settings.upstream_tls,
        takeover_timeout_s=settings.takeover_timeout_s,
        stall_s=settings.upstream_stall_s,
    )
    metrics = GatewayMetrics(seen.registry)
    metrics.follow_sessions(lambda: backends.detokenizer.num_sessions)
    admission = Admission(max_share=settings.max_share)
    pipeline = Pipeline(
        backends,
        admission,
        clock,
        RequestLimits(
            max_request_s=settings.max_request_s,
            slow_client_s=settings.slow_client_s,
            takeover=TakeoverLimits(
                max_takeovers=settings.max_takeovers, timeout_s=settings.takeover_timeout_s
            ),
        ),
        watch=metrics,
    )
    calls = LiveCalls()
    server = make_server(settings, seen.observers, access.interceptors(), calls=calls)
    lifecycle = Lifecycle(add_health(server), calls)
    _add_services(server, pipeline, backends)
    add_reflection(server, settings, SERVICES)
    await lifecycle.start()
    address = bind(server, settings)
    await server.start()
    logger().info("serving", address=address)
    try:
        await lifecycle.run(
            server, _work(backends, access, lifecycle), settings, on_drain=pipeline.drain
        )
    finally:
        await backends.close()


async def _work(backends: Backends, access: Access, lifecycle: Lifecycle) -> None:
    """What the gateway does beside answering."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(backends.follow(lifecycle.set_ready))
        tasks.create_task(access.follow())


def _add_services(server: grpc.aio.Server, pipeline: Pipeline, backends: Backends) -> None:
    inference_service_pb2_grpc.add_InferenceServiceServicer_to_server(
        InferenceService(pipeline), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(backends), server)
    tokenization_service_pb2_grpc.add_TokenizationServiceServicer_to_server(
        TokenizationService(backends), server
    )
    embedding_service_pb2_grpc.add_EmbeddingServiceServicer_to_server(EmbeddingService(), server)


def main() -> int:
    """Run the gateway; the exit status."""
    settings = load_settings(GatewaySettings, sys.argv[1:])
    configure_logging(service="gateway", level=settings.log_level, form=settings.log_format)
    try:
        with observed("gateway", settings) as seen:
            uvloop.run(serve(settings, seen))
    except SettingRefused as error:
        sys.stderr.write(f"error: {error}\n")
        return USAGE_ERROR
    return 0


if __name__ == "__main__":
    sys.exit(main())
