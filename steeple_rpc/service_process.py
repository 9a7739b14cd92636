"""The shape that every service's process has: what `main` does, and the server's way to its end."""

import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import grpc

from steeple_rpc.lifecycle import Lifecycle
from steeple_rpc.live_calls import LiveCalls
from steeple_rpc.observed import Observed, observed
from steeple_rpc.printed_settings import printed
from steeple_rpc.refused import SettingRefused
from steeple_rpc.server import add_health, add_reflection, bind, make_server, methods_of
from steeple_rpc.settings import USAGE_ERROR, S, ServiceSettings, load_settings
from steeple_rpc.telemetry import configure_logging, logger


def run_service(name: str, kind: type[S], serve: Callable[[S, Observed], None]) -> int:
    """Run a service with the settings of the command line; the process' exit status.

    Args:
        name: as logs and traces know it.
        kind: of its settings.
        serve: runs it to its end. What it cannot be started with is a SettingRefused, which is
            told in one line and ends the process with 2.
    """
    settings = load_settings(kind, sys.argv[1:])
    if settings.print_config:
        sys.stdout.write(printed(settings))
        return 0
    configure_logging(service=name, level=settings.log_level, form=settings.log_format)
    for remark in kind.old_settings(os.environ).remarks:
        log = logger().warning if remark.is_warning else logger().info
        log(remark.event, **remark.facts)
    try:
        with observed(name, settings) as seen:
            serve(settings, seen)
    except SettingRefused as error:
        line = " ".join(str(error).split())
        sys.stderr.write(f"error: {line}\n")
        return USAGE_ERROR
    return 0


class ServiceProcess:
    """One server with health, reflection, and the life of its process.

    Args:
        settings: of the service.
        seen: told of its RPCs.
        interceptors: what stands inside its border.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        seen: Observed,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    ) -> None:
        calls = LiveCalls()
        self._settings = settings
        self._rpcs = seen.rpcs
        self.server = make_server(settings, seen.observers, interceptors, calls=calls)
        self.lifecycle = Lifecycle(add_health(self.server), calls)

    async def open(self, services: Sequence[str], **facts: object) -> None:
        """Serve what was added to the server; health says NOT_SERVING until someone knows better.

        Args:
            services: full names, for reflection and metrics.
            facts: for the log.

        Raises:
            SettingRefused: the address or a file cannot be used.
        """
        add_reflection(self.server, self._settings, services)
        self._rpcs.serve(methods_of(services))
        self.lifecycle.start()
        address = bind(self.server, self._settings)
        await self.server.start()
        logger().info("serving", address=address, **facts)

    async def run(
        self, work: Coroutine[Any, Any, None], *, on_drain: Callable[[], None] = lambda: None
    ) -> None:
        """Until a signal or the lifecycle's stop, and through the drain; see `Lifecycle.run`."""
        await self.lifecycle.run(self.server, work, self._settings, on_drain=on_drain)
