"""Whether the load's own process keeps up: what it is late with, it measures as latency."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from steeple_cli.load.percentiles import Percentiles, percentiles

PERIOD_S = 0.01
LATE_S = 0.02
"""A loop that is late by more than this, one time in a hundred, spoils what it measures."""
BUSY_SHARE = 0.9
"""A loop that is busy for more of the time sends no faster, whatever the server could do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """How the load's own process did."""

    lag_s: Percentiles | None
    """How late its event loop came back to what was due; None for a very short load."""
    busy_share: float
    """Of the time, its event loop's thread computed."""

    @property
    def is_bottleneck(self) -> bool:
        """Whether the figures tell more about it than about the server."""
        is_late = self.lag_s is not None and self.lag_s.p99 > LATE_S
        return is_late or self.busy_share > BUSY_SHARE


class LagWatch:
    """Looks every PERIOD_S whether it gets its turn."""

    def __init__(self) -> None:
        self._lags_s: list[float] = []
        self._started_s, self._cpu_s = time.monotonic(), time.thread_time()

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            due_s = time.monotonic() + PERIOD_S
            await asyncio.sleep(PERIOD_S)
            self._lags_s.append(max(0.0, time.monotonic() - due_s))

    def seen(self) -> Generator:
        """How it did since it was made; called in the thread that made it."""
        took_s = time.monotonic() - self._started_s
        return Generator(
            lag_s=percentiles(self._lags_s),
            busy_share=(time.thread_time() - self._cpu_s) / took_s if took_s else 0.0,
        )


@asynccontextmanager
async def watched() -> AsyncIterator[LagWatch]:
    """A watch for the block."""
    watch = LagWatch()
    watching = asyncio.create_task(watch.watch())
    try:
        yield watch
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
