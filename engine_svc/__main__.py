"""The engine service's process: `python -m engine_svc --model DIR`."""

import os
import sys
import time

import uvloop

from engine_svc.core.threads import available_cores, default_num_threads, thread_environment
from engine_svc.core_keeper import CoreKeeper, StartupRefused
from engine_svc.core_process import CoreProcess
from engine_svc.front import EngineFront
from engine_svc.metrics import EngineMetrics
from engine_svc.service import EngineService, ServedModel
from engine_svc.settings import EngineSettings
from steeple.engine.v1 import engine_service_pb2_grpc
from steeple_rpc.lifecycle import Lifecycle
from steeple_rpc.live_calls import LiveCalls
from steeple_rpc.observed import Observed, observed
from steeple_rpc.refused import SettingRefused
from steeple_rpc.server import add_health, add_reflection, bind, make_server
from steeple_rpc.settings import USAGE_ERROR, load_settings
from steeple_rpc.telemetry import configure_logging, logger

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
    calls = LiveCalls()
    server = make_server(settings, seen.observers, calls=calls)
    lifecycle = Lifecycle(add_health(server), calls)
    served = ServedModel(
        name=settings.model_name,
        default_max_tokens=settings.default_max_tokens,
        max_num_waiting=settings.num_waiting_limit,
    )
    service = EngineService(front, served, lifecycle.request_stop)
    engine_service_pb2_grpc.add_EngineServiceServicer_to_server(service, server)
    add_reflection(server, settings, [SERVICE])
    await lifecycle.start()
    address = bind(server, settings)
    await server.start()
    logger().info("serving", address=address, model=settings.model_name)
    await lifecycle.run(server, front.run(lifecycle.set_ready), settings, on_drain=front.drain)


def main() -> int:
    """Run the service; the exit status."""
    settings = load_settings(EngineSettings, sys.argv[1:])
    configure_logging(service="engine", level=settings.log_level, form=settings.log_format)
    try:
        with observed("engine", settings) as seen:
            uvloop.run(serve(settings, seen))
    except (SettingRefused, StartupRefused) as error:
        sys.stderr.write(f"error: {error}\n")
        return USAGE_ERROR
    return 0


if __name__ == "__main__":
    sys.exit(main())
