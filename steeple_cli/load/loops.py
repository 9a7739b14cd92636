"""When requests are sent: as soon as an earlier one is done, or by the clock whatever happens.

A closed loop has a fixed number of callers, so a slow server is asked less. An open loop sends at a
rate: only it shows what waiting does to latency.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator

from steeple_cli.load.history import History, LoadRequest

Send = Callable[[LoadRequest], Awaitable[History]]
OnEnd = Callable[[History], None]


def _ignore(_: History) -> None:
    pass


async def closed_loop(
    send: Send, requests: Iterable[LoadRequest], *, num_callers: int, on_end: OnEnd = _ignore
) -> list[History]:
    """Send all requests, at most `num_callers` at a time; histories in order of their end."""
    waiting = iter(requests)
    histories: list[History] = []

    async def call() -> None:
        for request in waiting:
            histories.append(await send(request))
            on_end(histories[-1])

    async with asyncio.TaskGroup() as callers:
        for _ in range(num_callers):
            callers.create_task(call())
    return histories


async def open_loop(
    send: Send,
    requests: Iterable[LoadRequest],
    arrivals_s: Iterable[float],
    *,
    on_end: OnEnd = _ignore,
) -> list[History]:
    """Send each request at its time from now, never waiting for earlier ones.

    Args:
        send: how.
        requests: what, in order.
        arrivals_s: when, ascending; the shorter of the two ends the load.
        on_end: told of each history.
    """
    clock = asyncio.get_running_loop().time
    start = clock()
    histories: list[History] = []

    async def call(request: LoadRequest) -> None:
        histories.append(await send(request))
        on_end(histories[-1])

    async with asyncio.TaskGroup() as callers:
        for request, arrival_s in zip(requests, arrivals_s, strict=False):
            await asyncio.sleep(max(0.0, start + arrival_s - clock()))
            callers.create_task(call(request))
    return histories


def poisson(rate: float, seed: int) -> Iterator[float]:
    """Endless arrival times in seconds, `rate` per second on average.

    Args:
        rate: above 0.
        seed: the same seed gives the same times.
    """
    draw = random.Random(seed)  # noqa: S311 - load, not cryptography
    at_s = 0.0
    while True:
        at_s += draw.expovariate(rate)
        yield at_s


def while_time(
    requests: Iterable[LoadRequest], clock: Callable[[], float], end_s: float
) -> Iterator[LoadRequest]:
    """The requests for which there is time: none is handed out from `end_s` on."""
    for request in requests:
        if clock() >= end_s:
            return
        yield request
