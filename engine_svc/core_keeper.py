"""The core's life: started, watched, replaced with growing pauses, ended.

start → loading → ready → lost or stalled → told, killed, pause → start
          └ too slow, refused, or dead again and again: the service ends

A core that has nothing to do is asked for a sign of life from time to time (`vigil`).
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Protocol, assert_never

from engine_svc.core.messages import (
    Command,
    CoreConfig,
    EngineInfo,
    Failed,
    Loading,
    Ping,
    Ready,
    StepOutputs,
)
from engine_svc.core_link import CoreLost, CoreRefused, CoreStalled, EngineCore
from engine_svc.restarts import MAX_FAILED_STARTS, Restarts
from engine_svc.vigil import Vigil
from steeple_rpc.refused import SettingRefused
from steeple_rpc.telemetry import logger


class StartupRefused(SettingRefused):
    """The core cannot serve its configuration; the message names the remedy."""

    default_reason = "STARTUP_REFUSED"


class CoreUser(Protocol):
    """Whoever the core works for."""

    async def core_ready(self, info: EngineInfo) -> None:
        """Commands may be sent from now on."""

    def core_told(self, outputs: StepOutputs) -> bool:
        """Take what a step did; tells whether anybody still waits for the core."""

    async def core_lost(self, error: CoreLost) -> None:
        """The core is gone, with all that it was asked for. Told before it is replaced."""


class CoreKeeper:
    """Keeps one core alive for one user.

    Args:
        make_core: makes a new core, not started.
        config: what the core serves.
        environment: for a core that is a process.
        startup_timeout_s: how long loading and warm-up may take.
        step_deadline_s: how long a core that owes work may be silent.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        make_core: Callable[[], EngineCore],
        config: CoreConfig,
        *,
        environment: Mapping[str, str],
        startup_timeout_s: float,
        step_deadline_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._make_core = make_core
        self._config = config
        self._environment = environment
        self._startup_timeout_s = startup_timeout_s
        self._step_deadline_s = step_deadline_s
        self._clock = clock
        self._core: EngineCore | None = None
        self._vigil = Vigil(startup_timeout_s, clock)
        self._stirred = asyncio.Event()
        self._ready_at: float | None = None

    @property
    def is_ready(self) -> bool:
        """Whether there is a core that takes commands."""
        return self._ready_at is not None

    @property
    def silent_s(self) -> float:
        """Seconds since a ready core that owes work last spoke; 0 while it owes none."""
        return self._vigil.silent_s if self.is_ready else 0.0

    def send(self, command: Command) -> None:
        """Pass a command to a ready core; without one, it has nothing to do any more."""
        if self._core is None or not self.is_ready:
            return
        if self._vigil.sent():
            self._stirred.set()
        self._core.send(command)

    async def run(self, user: CoreUser) -> None:
        """Keep a core alive until cancelled.

        Raises:
            StartupRefused: the configuration can never be served, or no core becomes ready.
        """
        restarts = Restarts()
        while True:
            try:
                await self._use_core(user)
            except CoreLost as lost:
                pause_s = restarts.lost(served_s=self._served_s())
                _give_up_if_hopeless(restarts, lost)
                event = "core_stalled" if isinstance(lost, CoreStalled) else "core_lost"
                logger().error(event, why=str(lost), restart_in_s=pause_s)
                self._core = self._ready_at = None
                await asyncio.sleep(pause_s)

    async def _use_core(self, user: CoreUser) -> None:
        """Start a core and serve with it; ends with it, or with the task.

        Raises:
            CoreLost: it is gone.
        """
        core = self._core = self._make_core()
        self._vigil = Vigil(self._startup_timeout_s, self._clock)
        await core.start(self._config, self._environment)
        reading = asyncio.create_task(self._read(core, user))
        try:
            await self._watch(core, reading)
        except CoreLost as lost:
            # Whoever waits learns it first: to put the core away may take a while.
            await user.core_lost(lost)
            await core.kill()
            raise
        finally:
            reading.cancel()
            await asyncio.wait({reading})
            await (core.stop() if self.is_ready else core.kill())

    async def _watch(self, core: EngineCore, reading: "asyncio.Task[None]") -> None:
        """Wait for the end of what the core tells, and no longer than it may be silent."""
        reading.add_done_callback(lambda _: self._stirred.set())
        while not reading.done():
            await self._pause()
            overdue = self._vigil.overdue()
            if overdue is not None and not reading.done():
                raise self._stuck(overdue)
            if self._vigil.is_ping_due:
                self._vigil.pinged()
                core.send(Ping())
        reading.result()

    async def _pause(self) -> None:
        """Until somebody must look after the core: an idle one is left alone for long."""
        self._stirred.clear()
        # Not wait_for: before Python 3.12 it loses a cancellation that comes with the stir.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._vigil.pause_s):
                await self._stirred.wait()

    async def _read(self, core: EngineCore, user: CoreUser) -> None:
        async for event in core.events():
            match event:
                case StepOutputs():
                    self._vigil.told(event, has_work=user.core_told(event))
                case Loading():
                    logger().info("loading", stage=event.stage, done=event.done, total=event.total)
                case Ready():
                    self._become_ready(event.longest_step_s)
                    await user.core_ready(event.info)
                case Failed():
                    raise CoreRefused(event.message)
                case _:
                    assert_never(event)

    def _become_ready(self, longest_step_s: float) -> None:
        self._ready_at = self._clock()
        self._vigil = Vigil(self._step_deadline_s, self._clock)
        self._vigil.ready(longest_step_s)

    def _stuck(self, overdue: str) -> CoreLost:
        if self.is_ready:
            return CoreStalled(overdue)
        return CoreRefused(
            f"the core was not ready within {self._startup_timeout_s:g} s: raise"
            " --startup-timeout-s"
        )

    def _served_s(self) -> float | None:
        return None if self._ready_at is None else self._clock() - self._ready_at


def _give_up_if_hopeless(restarts: Restarts, lost: CoreLost) -> None:
    """Raise StartupRefused where another start is useless."""
    if isinstance(lost, CoreRefused) and (restarts.is_hopeless or not restarts.has_served):
        raise StartupRefused(str(lost)) from lost
    if restarts.is_hopeless:
        raise StartupRefused(
            f"the core ended {MAX_FAILED_STARTS} times before it was ready: its log has the story"
        ) from lost
