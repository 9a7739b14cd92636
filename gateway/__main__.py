"""The gateway's process: `python -m gateway --tokenizer ADDRESS --engine ADDRESS`."""

import asyncio
import sys
from collections.abc import Callable

import grpc
import uvloop

from gateway.access import Access
from gateway.admission import Admission
from gateway.backends import Backends
from gateway.load_window import LoadWindow
from gateway.metrics import GatewayMetrics
from gateway.pipeline import Pipeline
from gateway.request_limits import RequestLimits
from gateway.request_watch import RequestWatches
from gateway.services.embedding import EmbeddingService
from gateway.services.inference import InferenceService
from gateway.services.load import LoadService
from gateway.services.models import ModelService
from gateway.services.tokenization import TokenizationService
from gateway.settings import GatewaySettings
from gateway.takeover import TakeoverLimits
from gateway.watchers import Watchers
from steeple.inference.v1 import (
    embedding_service_pb2,
    embedding_service_pb2_grpc,
    inference_service_pb2,
    inference_service_pb2_grpc,
    load_service_pb2,
    load_service_pb2_grpc,
    model_service_pb2,
    model_service_pb2_grpc,
    tokenization_service_pb2,
    tokenization_service_pb2_grpc,
)
from steeple_rpc.lifecycle import Lifecycle
from steeple_rpc.observed import Observed
from steeple_rpc.service_process import ServiceProcess, run_service

# Read from the descriptors: reflection finds only what was imported, and the stubs of a service
# do not import the file that defines it.
SERVICES = tuple(
    service.full_name
    for file in (
        inference_service_pb2,
        embedding_service_pb2,
        tokenization_service_pb2,
        model_service_pb2,
        load_service_pb2,
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
    metrics = GatewayMetrics(seen.registry)
    backends = _backends(settings, clock)
    metrics.follow_sessions(lambda: backends.detokenizer.num_sessions)
    admission = Admission(max_share=settings.max_share)
    window = LoadWindow(clock)
    watch = RequestWatches((metrics, window))
    pipeline = Pipeline(backends, admission, clock, _limits(settings), watch=watch)
    watchers = Watchers(max_wait_s=settings.slow_client_s)
    load = LoadService(backends, admission, window, watchers, clock)

    def drain() -> None:
        pipeline.drain()
        watchers.drain()

    process = ServiceProcess(settings, seen, access.interceptors())
    _add_services(process.server, pipeline, backends)
    load_service_pb2_grpc.add_LoadServiceServicer_to_server(load, process.server)
    await process.open(SERVICES)
    try:
        work = _work(backends, access, process.lifecycle, metrics)
        await process.run(work, on_drain=drain)
    finally:
        await backends.close()


def _backends(settings: GatewaySettings, clock: Callable[[], float]) -> Backends:
    return Backends(
        tokenizer=settings.tokenizer,
        engines=settings.engine,
        clock=clock,
        tls=settings.upstream_tls,
        takeover_timeout_s=settings.takeover_timeout_s,
        stall_s=settings.upstream_stall_s,
    )


def _limits(settings: GatewaySettings) -> RequestLimits:
    return RequestLimits(
        max_request_s=settings.max_request_s,
        slow_client_s=settings.slow_client_s,
        takeover=TakeoverLimits(
            max_takeovers=settings.max_takeovers, timeout_s=settings.takeover_timeout_s
        ),
    )


async def _work(
    backends: Backends, access: Access, lifecycle: Lifecycle, metrics: GatewayMetrics
) -> None:
    """What the gateway does beside answering."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(backends.follow(lifecycle.set_ready, metrics.model_served))
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
    return run_service(
        "gateway", GatewaySettings, lambda settings, seen: uvloop.run(serve(settings, seen))
    )


if __name__ == "__main__":
    sys.exit(main())
