"""The shapes of a load; each drives one point of a sweep.

Either so many callers who wait for their answers, or so many arrivals a second whatever happens.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice, takewhile
from math import inf
from typing import Protocol

from steeple_cli.benching.extent import Extent, warming_up
from steeple_cli.load.arrivals import ARRIVALS
from steeple_cli.load.history import End, LoadRequest
from steeple_cli.load.loops import closed_loop, open_loop, while_time
from steeple_cli.load.sample import Sample

Send = Callable[[LoadRequest], Awaitable[Sample]]
FAILED_PAUSE_S = 0.1
"""What a caller waits after a failure that does not say how long: none hammers at a door."""
OPEN_WARM_UP = 10


class Shape(Protocol):
    """How requests follow each other."""

    @property
    def level(self) -> float:
        """How much load it is, in `unit`."""

    @property
    def unit(self) -> str:
        """Of what the level is."""

    async def run(
        self, send: Send, requests: Iterator[LoadRequest], extent: Extent
    ) -> list[Sample]:
        """Send what the extent wants of endless requests, and wait for all ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedShape:
    """A fixed number of callers; each sends as soon as its last request has ended."""

    num_callers: int

    @property
    def level(self) -> float:
        """The number of callers."""
        return self.num_callers

    @property
    def unit(self) -> str:
        """Callers."""
        return "caller" if self.num_callers == 1 else "callers"

    async def run(
        self, send: Send, requests: Iterator[LoadRequest], extent: Extent
    ) -> list[Sample]:
        """A warm-up of one request per caller, unless the extent says otherwise."""
        wanted = self.num_callers if extent.num_warm_up is None else extent.num_warm_up
        sending = chain(warming_up(requests, wanted), _measured(requests, extent))
        return await closed_loop(
            lambda request: _sent(send, request), sending, num_callers=self.num_callers
        )


def _measured(requests: Iterator[LoadRequest], extent: Extent) -> Iterator[LoadRequest]:
    """The time begins when the first is asked for: after the warm-up was sent."""
    end_s = time.monotonic() + (extent.duration_s or inf)
    yield from while_time(islice(requests, extent.num_requests), time.monotonic, end_s)


async def _sent(send: Send, request: LoadRequest) -> Sample:
    """After a failure the caller waits, as long as the server said if it did."""
    sample = await send(request)
    if sample.end is End.FAILED:
        await asyncio.sleep(sample.retry_after_s or FAILED_PAUSE_S)
    return sample


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenShape:
    """Arrivals at a rate, however long answers take."""

    rate: float
    """Requests per second."""
    arrivals: str
    """One of ARRIVALS."""
    seed: int

    @property
    def level(self) -> float:
        """The rate."""
        return self.rate

    @property
    def unit(self) -> str:
        """Requests per second."""
        return "requests/s"

    async def run(
        self, send: Send, requests: Iterator[LoadRequest], extent: Extent
    ) -> list[Sample]:
        """A warm-up of the first OPEN_WARM_UP arrivals, unless the extent says otherwise."""
        wanted = OPEN_WARM_UP if extent.num_warm_up is None else extent.num_warm_up
        times_s = self._times_s(wanted, extent)
        return await open_loop(send, chain(warming_up(requests, wanted), requests), times_s)

    def _times_s(self, num_warm_up: int, extent: Extent) -> Iterator[float]:
        """When requests are due, from the start of the load; the end does not hang on answers."""
        arrivals = ARRIVALS[self.arrivals](self.rate, self.seed)
        warm_up_s = list(islice(arrivals, num_warm_up))
        first_s = next(arrivals)
        end_s = first_s + (extent.duration_s or inf)
        measured_s = takewhile(lambda at_s: at_s < end_s, chain([first_s], arrivals))
        return chain(warm_up_s, islice(measured_s, extent.num_requests))
