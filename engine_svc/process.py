"""The engine service's process: `python -m engine_svc --model DIR`."""

import os
import time

import uvloop

from engine_svc.core.threads import available_cores, default_num_threads, thread_environment
from engine_svc.core_keeper import CoreKeeper
from engine_svc.core_process import CoreProcess
from engine_svc.front import EngineFront
from engine_svc.metrics import EngineMetrics
from engine_svc.service import EngineService, ServedModel
from engine_svc.settings import EngineSettings
from steeple.engine.v1 import engine_service_pb2_grpc
from steeple_rpc.observed import Observed
from steeple_rpc.service_process import ServiceProcess, run_service

SERVICE = "steeple.engine.v1.EngineService"


async def serve(settings: EngineSettings, seen: Observed) -> None:
    """Serve until told to stop.

    Raises:
        SettingRefused: an address or a file cannot be used.
        StartupRefused: the model cannot be served.
    """
    num_threads = settings.num_threads or default_num_threads(available_cores())
    metrics = EngineMetrics(seen.registry)
    keeper = CoreKeeper(
        CoreProcess,
        settings.core_config(num_threads),
        environment=thread_environment(num_threads, os.environ),
        startup_timeout_s=settings.startup_timeout_s,
        step_deadline_s=settings.step_deadline_s,
        clock=time.monotonic,
    )
    front = EngineFront(keeper, max_num_waiting=settings.num_waiting_limit, clock=time.monotonic)
    front.follow(metrics)
    metrics.follow_progress(lambda: front.since_last_step_s)
    process = ServiceProcess(settings, seen)
    served = ServedModel(
        name=settings.model_name,
        default_max_tokens=settings.default_max_tokens,
        max_num_waiting=settings.num_waiting_limit,
        max_message_bytes=settings.max_message_bytes,
    )
    service = EngineService(front, served, process.lifecycle.request_stop, seen.observers)
    engine_service_pb2_grpc.add_EngineServiceServicer_to_server(service, process.server)
    await process.open([SERVICE], model=settings.model_name)
    await process.run(front.run(process.lifecycle.set_ready), on_drain=service.drain)


def run() -> int:
    """Run the service; the exit status."""
    return run_service(
        "engine", EngineSettings, lambda settings, seen: uvloop.run(serve(settings, seen))
    )
