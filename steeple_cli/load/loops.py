"""When requests are sent: as soon as an earlier one is done, or by the clock whatever happens.

A closed loop has a fixed number of callers, so a slow server is asked less. An open loop sends at a
rate: only it shows what waiting does to latency.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

from steeple_cli.load.history import LoadRequest

Sent = TypeVar("Sent")
"""What is kept of a request, once it has ended."""


def _ignore(_: object) -> None:
    pass


async def closed_loop(
    send: Callable[[LoadRequest], Awaitable[Sent]],
    requests: Iterable[LoadRequest],
    *,
    num_callers: int,
    on_end: Callable[[Sent], None] = _ignore,
) -> list[Sent]:
    """Send all requests, at most `num_callers` at a time; what is kept, in order of their end."""
    waiting = iter(requests)
    kept: list[Sent] = []

    async def call() -> None:
        for request in waiting:
            kept.append(await send(request))
            on_end(kept[-1])

    async with asyncio.TaskGroup() as callers:
        for _ in range(num_callers):
            callers.create_task(call())
    return kept


async def open_loop(
    send: Callable[[LoadRequest], Awaitable[Sent]],
    requests: Iterable[LoadRequest],
    arrivals_s: Iterable[float],
    *,
    on_end: Callable[[Sent], None] = _ignore,
) -> list[Sent]:
    """Send each request at its time from now, never waiting for earlier ones.

    Args:
        send: how.
        requests: what, in order; each is told when it is due, on time.monotonic's clock.
        arrivals_s: when, ascending; the shorter of the two ends the load.
        on_end: told of what is kept of each.
    """
    start_s = time.monotonic()
    kept: list[Sent] = []

    async def call(request: LoadRequest) -> None:
        kept.append(await send(request))
        on_end(kept[-1])

    async with asyncio.TaskGroup() as callers:
        for arrival_s, request in zip(arrivals_s, requests, strict=False):
            due_s = start_s + arrival_s
            await _until(due_s)
            callers.create_task(call(replace(request, due_s=due_s)))
    return kept


async def _until(due_s: float) -> None:
    """Timers of some loops are of whole milliseconds, and end a little early."""
    while (left_s := due_s - time.monotonic()) > 0:  # noqa: ASYNC110 - the clock tells no events
        await asyncio.sleep(left_s)
    await asyncio.sleep(0)


def while_time(
    requests: Iterable[LoadRequest], clock: Callable[[], float], end_s: float
) -> Iterator[LoadRequest]:
    """The requests for which there is time: none is handed out from `end_s` on."""
    for request in requests:
        if clock() >= end_s:
            return
        yield request
