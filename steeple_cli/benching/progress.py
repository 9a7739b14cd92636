"""What a person sees while a load runs: one line on stderr, where that is a terminal."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from steeple_cli.benching.extent import Extent
from steeple_cli.load.history import End, LoadRequest
from steeple_cli.load.sample import Sample

_REFRESH_S = 0.5
"""Rarely: drawing takes the load's own time."""


class Tally:
    """What has been sent and has ended so far."""

    def __init__(self) -> None:
        self._num_sent = self._num_done = self._num_failed = self._num_tokens = 0

    @property
    def num_ended(self) -> int:
        """Requests that are no longer under way."""
        return self._num_done + self._num_failed

    def sent(self, _: LoadRequest) -> None:
        """One more is under way."""
        self._num_sent += 1

    def ended(self, sample: Sample) -> None:
        """One has ended."""
        self._num_done += sample.end is End.DONE
        self._num_failed += sample.end is not End.DONE
        self._num_tokens += sample.num_tokens

    def told(self) -> str:
        """In a few words."""
        under_way = self._num_sent - self.num_ended
        failed = f", {self._num_failed} refused or failed" if self._num_failed else ""
        return f"{under_way} under way, {self._num_done} done, {self._num_tokens:,} tokens{failed}"


@asynccontextmanager
async def shown(console: Console, label: str, extent: Extent) -> AsyncIterator[Tally]:
    """A tally whose state the console shows until the block ends.

    Args:
        console: shows nothing unless it is a terminal.
        label: of the load.
        extent: of it.
    """
    tally = Tally()
    progress = Progress(
        *(TextColumn("{task.description}"), BarColumn(20), TimeElapsedColumn()),
        TextColumn("{task.fields[told]}"),
        console=console,
        auto_refresh=False,
        transient=True,
        disable=not console.is_terminal,
    )
    with progress:
        drawing = asyncio.create_task(_draw(progress, tally, label, extent))
        try:
            yield tally
        finally:
            drawing.cancel()
            await asyncio.gather(drawing, return_exceptions=True)


async def _draw(progress: Progress, tally: Tally, label: str, extent: Extent) -> None:
    start_s = time.monotonic()
    total = extent.num_requests or extent.duration_s
    task = progress.add_task(label, total=total, told="")
    while True:
        done = tally.num_ended if extent.num_requests else time.monotonic() - start_s
        progress.update(task, completed=done, told=tally.told(), refresh=True)
        await asyncio.sleep(_REFRESH_S)
