"""Follows the services behind the gateway: facts while one serves, nothing while it does not.

A service that is there and answers nothing for a while counts as gone, until it answers again.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.balance import EngineLoad
from gateway.clients.engine import EngineClient
from gateway.engine_history import EngineHistory, EngineWork
from gateway.interruption import Interruption
from gateway.takeover import ENGINE_STALLED
from gateway.upstream_values import EngineFacts, EngineReport
from steeple_rpc.address import UNIX
from steeple_rpc.channel import open_paced_channel
from steeple_rpc.errors import ServiceError, Unavailable
from steeple_rpc.lifecycle import LIVENESS
from steeple_rpc.telemetry import logger
from steeple_rpc.tls.channel_tls import ChannelTls

Facts = TypeVar("Facts")

PAUSE_S = 0.2
LOAD_PERIOD_S = 0.5
BEAT_PERIOD_S = 0.5
STALL_S = 10.0
_SERVING = health_pb2.HealthCheckResponse.SERVING


def open_upstream(target: str, tls: ChannelTls | None) -> grpc.aio.Channel:
    """A channel to an upstream service; in plaintext to a Unix socket, which file modes guard."""
    return open_paced_channel(target, None if target.startswith(UNIX) else tls)


class Upstream(Generic[Facts]):
    """One service, watched through grpc.health.v1.

    Args:
        name: for the log.
        channel: to the service.
        learn: asks for the facts; each time the service becomes ready.
        on_change: called after each change of `facts`.
        on_stall: called when it has fallen silent.
        stall_s: so long it may leave a question unanswered.
    """

    def __init__(
        self,
        name: str,
        channel: grpc.aio.Channel,
        learn: Callable[[], Awaitable[Facts]],
        on_change: Callable[[], None],
        *,
        on_stall: Callable[[], None],
        stall_s: float = STALL_S,
    ) -> None:
        self._name = name
        self._on_stall = on_stall
        self._stall_s = stall_s
        self._is_serving = False
        self._is_silent = False
        self._health = health_pb2_grpc.HealthStub(channel)
        self._learn = learn
        self._on_change = on_change
        self.facts: Facts | None = None

    async def follow(self) -> None:
        """Keep `facts` true until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_health())
            tasks.create_task(self._follow_beat())

    async def _follow_health(self) -> None:
        while True:
            try:
                await self._watch()
            except (grpc.aio.AioRpcError, ServiceError):
                logger().debug("upstream_unreachable", upstream=self._name)
            self._is_serving = self._is_silent = False
            self._set(None)
            await asyncio.sleep(PAUSE_S)

    async def _follow_beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_PERIOD_S)
            # One that starts or drains may take its time; a lost one ends its watch.
            if self._is_serving:
                await self._beat()

    async def _beat(self) -> None:
        """Ask whether it lives, and take note where that has changed."""
        question = health_pb2.HealthCheckRequest(service=LIVENESS)
        try:
            await self._health.Check(question, timeout=self._stall_s)
            if self._is_silent:
                await self._come_back()
        except ServiceError:
            logger().debug("upstream_unreachable", upstream=self._name)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and not self._is_silent:
                self._fall_silent()

    async def _come_back(self) -> None:
        """It answers again: learn anew what it serves, unless its watch tells meanwhile."""
        facts = await self._learn()
        if self._is_silent and self._is_serving:
            self._set(facts)
            self._is_silent = False

    def _fall_silent(self) -> None:
        logger().warning("upstream_stalled", upstream=self._name, silent_s=self._stall_s)
        self._is_silent = True
        self._set(None)
        self._on_stall()

    async def _watch(self) -> None:
        call = self._health.Watch(health_pb2.HealthCheckRequest(service=""), wait_for_ready=True)
        try:
            async for response in call:
                self._is_serving = response.status == _SERVING
                self._set(await self._learn() if self._is_serving else None)
                self._is_silent = False
        finally:
            call.cancel()

    def _set(self, facts: Facts | None) -> None:
        if facts != self.facts:
            was_there, self.facts = self.facts is not None, facts
            if was_there != (facts is not None):
                logger().info("upstream", name=self._name, ready=facts is not None)
            self._on_change()


class Engine:
    """One engine service: its client, its facts while it serves, its load.

    Args:
        target: HOST:PORT or unix:PATH.
        on_change: called when it comes, goes or changes.
        tls: None = plaintext.
        stall_s: so long it may leave a question unanswered.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        target: str,
        on_change: Callable[[], None],
        tls: ChannelTls | None = None,
        *,
        stall_s: float = STALL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._history = EngineHistory()
        self._channel = open_upstream(target, tls)
        self.client = EngineClient(self._channel, clock)
        self._stall = Interruption()
        self._upstream = Upstream[EngineFacts](
            target,
            self._channel,
            self.client.facts,
            on_change,
            on_stall=self._interrupt,
            stall_s=stall_s,
        )
        self._num_here = 0
        self._num_here_at_report = 0

    @property
    def facts(self) -> EngineFacts | None:
        """What it serves; None while it does not."""
        return self._upstream.facts

    @property
    def load(self) -> EngineLoad:
        """How busy it is, as far as is known."""
        report = self._history.last
        if report is None:
            return EngineLoad(num_here=self._num_here, num_reported=None)
        return EngineLoad(
            num_here=self._num_here,
            num_reported=report.num_requests,
            num_here_at_report=self._num_here_at_report,
        )

    @property
    def work(self) -> EngineWork | None:
        """What it told of itself last, and what it did meanwhile; None where it did not."""
        return self._history.work

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[None]:
        """Count a live request of ours while in the block.

        Raises:
            Unavailable: the engine has fallen silent.
        """
        self._num_here += 1
        try:
            async with self._stall.block():
                yield
        finally:
            self._num_here -= 1

    async def follow(self) -> None:
        """Keep facts and load true until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._upstream.follow())
            tasks.create_task(self._follow_load())

    async def close(self) -> None:
        """Give the connection back."""
        await self.client.close()
        await self._channel.close(None)

    def _interrupt(self) -> None:
        self._stall.interrupt(Unavailable("the engine does not answer", reason=ENGINE_STALLED))
        self.client.break_off()

    async def _follow_load(self) -> None:
        while True:
            report = await self._ask_load() if self.facts is not None else None
            self._history.note(report, self._clock())
            self._num_here_at_report = self._num_here
            await asyncio.sleep(LOAD_PERIOD_S)

    async def _ask_load(self) -> EngineReport | None:
        try:
            return await self.client.report()
        except ServiceError:
            return None
