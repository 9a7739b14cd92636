"""The life of a service process: STARTING → READY ⇄ STARTING → DRAINING → STOPPED.

Health tells it: the service "" is SERVING only while READY; "liveness" is SERVING until the end.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from enum import Enum, auto
from typing import Any, Protocol

import grpc

from steeple_rpc.errors import Unavailable
from steeple_rpc.health import HealthService
from steeple_rpc.live_calls import LiveCalls
from steeple_rpc.settings import ServiceSettings
from steeple_rpc.telemetry import logger

READINESS = ""
LIVENESS = "liveness"
FAREWELL_S = 0.3
"""What calls that outlive the grace get to tell their callers so."""
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Phase(Enum):
    """Where in its life the process is."""

    STARTING = auto()
    READY = auto()
    DRAINING = auto()
    STOPPED = auto()


class OnReady(Protocol):
    """Told whenever readiness changes."""

    def __call__(self, *, ready: bool) -> Awaitable[None]:
        """Take note."""


class Lifecycle:
    """Owns the phase of one process and tells it to health checks.

    Args:
        health: tells it.
        calls: the server's, which are told why they end when it ends before them.
    """

    def __init__(self, health: HealthService, calls: LiveCalls | None = None) -> None:
        self._health = health
        self._calls = calls or LiveCalls()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self.phase = Phase.STARTING

    def start(self) -> None:
        """Tell that the process lives and is not ready; call before the port opens."""
        self._health.set(LIVENESS, serving=True)
        self._health.set(READINESS, serving=False)

    async def set_ready(self, *, ready: bool) -> None:
        """Tell whether requests can be served now. Ignored once draining."""
        if self.phase in (Phase.DRAINING, Phase.STOPPED):
            return
        phase = Phase.READY if ready else Phase.STARTING
        if phase is not self.phase:
            self.phase = phase
            logger().info("ready" if ready else "not_ready")
        self._health.set(READINESS, serving=ready)

    def request_stop(self) -> None:
        """Begin to drain. Idempotent."""
        self._stop.set()

    def hurry(self) -> None:
        """Begin to drain or, if that has begun, skip what is left of delay and grace."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def run(
        self,
        server: grpc.aio.Server,
        work: Coroutine[Any, Any, None],
        settings: ServiceSettings,
        *,
        on_drain: Callable[[], None] = lambda: None,
    ) -> None:
        """Serve until a signal or `request_stop`, then drain; `work` runs all along.

        Args:
            server: started.
            work: what keeps the service alive; runs until the last RPC is done.
            settings: how long draining takes.
            on_drain: see `drain`.

        Raises:
            Exception: what `work` raised; the server is stopped at once then.
        """
        working = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self._stop.wait())
        either: set[asyncio.Future[Any]] = {working, stopping}
        try:
            with self._stop_on_signals(), self._stop_on_eof(wanted=settings.stop_on_stdin_eof):
                await asyncio.wait(either, return_when="FIRST_COMPLETED")
                if working.done():
                    await server.stop(0)
                    working.result()
                await self.drain(
                    server,
                    delay_s=settings.drain_delay_s,
                    grace_s=settings.grace_s,
                    on_drain=on_drain,
                )
        finally:
            for task in either:
                task.cancel()
            await asyncio.gather(*either, return_exceptions=True)

    @contextlib.contextmanager
    def _stop_on_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT drain; one that comes while draining ends at once."""
        loop = asyncio.get_running_loop()
        for number in _STOP_SIGNALS:
            loop.add_signal_handler(number, self.hurry)
        try:
            yield
        finally:
            for number in _STOP_SIGNALS:
                loop.remove_signal_handler(number)

    @contextlib.contextmanager
    def _stop_on_eof(self, *, wanted: bool) -> Iterator[None]:
        """The end of standard input drains: whoever held its other end is gone."""
        loop = asyncio.get_running_loop()
        stdin = sys.stdin.fileno() if wanted else None

        def at_end() -> None:
            if stdin is not None and not os.read(stdin, 4096):
                loop.remove_reader(stdin)
                self.request_stop()

        if stdin is not None:
            loop.add_reader(stdin, at_end)
        try:
            yield
        finally:
            if stdin is not None:
                loop.remove_reader(stdin)

    async def drain(
        self,
        server: grpc.aio.Server,
        *,
        delay_s: float,
        grace_s: float,
        on_drain: Callable[[], None] = lambda: None,
    ) -> None:
        """Stop serving: tell health, wait `delay_s`, let RPCs finish for `grace_s`, end the rest.

        Args:
            server: refuses new RPCs after the delay.
            delay_s: time for balancers to notice.
            grace_s: time for running RPCs.
            on_drain: called after the delay: from now on new work is refused.
        """
        self.phase = Phase.DRAINING
        logger().info("draining", grace_s=grace_s)
        self._health.set(READINESS, serving=False)
        noticed = asyncio.ensure_future(asyncio.sleep(delay_s))
        await self._unless_hurried(noticed, delay_s + 1)
        noticed.cancel()
        on_drain()
        self._health.end_watches()
        stopped = asyncio.ensure_future(server.stop(grace_s + FAREWELL_S))
        await self._unless_hurried(stopped, grace_s)
        if not stopped.done():
            self._calls.end_all(Unavailable("the service is ending", reason="DRAINING"))
            await asyncio.wait({stopped}, timeout=FAREWELL_S)
        if not stopped.done():
            await server.stop(0)
        await stopped
        self.phase = Phase.STOPPED
        logger().info("stopped")

    async def _unless_hurried(self, work: "asyncio.Future[None]", limit_s: float) -> None:
        hurried = asyncio.ensure_future(self._hurry.wait())
        either: set[asyncio.Future[Any]] = {work, hurried}
        await asyncio.wait(either, timeout=limit_s, return_when="FIRST_COMPLETED")
        hurried.cancel()
