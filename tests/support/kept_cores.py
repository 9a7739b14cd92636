"""A keeper and the scripted cores that it makes, on the clock of the loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engine_svc.core.messages import CoreConfig
from engine_svc.core_keeper import CoreKeeper
from tests.support.scripted_core import RecordingUser, ScriptedCore

LIMIT_S = 600.0


class Cores:
    """Makes scripted cores and keeps them."""

    def __init__(self) -> None:
        self.made: list[ScriptedCore] = []
        self._news = asyncio.Event()

    def make(self) -> ScriptedCore:
        """The next one; it says nothing yet."""
        self.made.append(ScriptedCore())
        self._news.set()
        return self.made[-1]

    async def number(self, count: int) -> ScriptedCore:
        """The core of this number, from 1, once it was made."""
        async with asyncio.timeout(LIMIT_S):
            while len(self.made) < count:
                self._news.clear()
                await self._news.wait()
        return self.made[count - 1]


def keeper_of(
    cores: Cores, *, startup_timeout_s: float = 30.0, step_deadline_s: float = 30.0
) -> CoreKeeper:
    """A keeper with these limits."""
    return CoreKeeper(
        cores.make,
        CoreConfig(model_dir="", runner="fake"),
        environment={},
        startup_timeout_s=startup_timeout_s,
        step_deadline_s=step_deadline_s,
        clock=asyncio.get_running_loop().time,
    )


@asynccontextmanager
async def kept(keeper: CoreKeeper, user: RecordingUser) -> AsyncIterator[None]:
    """Run a keeper for the block."""
    task = asyncio.create_task(keeper.run(user))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ready_core(
    cores: Cores, user: RecordingUser, number: int = 1, *, longest_step_s: float = 0.0
) -> ScriptedCore:
    """The core of this number, once it serves and its user knows."""
    core = await cores.number(number)
    core.become_ready(longest_step_s=longest_step_s)
    await user.ready.wait()
    return core
