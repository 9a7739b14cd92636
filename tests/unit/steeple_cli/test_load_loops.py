"""A closed loop waits for answers, an open one only for the clock."""

import asyncio
from itertools import islice

from steeple_cli.load.arrivals import ARRIVALS, constant, poisson
from steeple_cli.load.history import History, LoadRequest
from steeple_cli.load.loops import closed_loop, open_loop, while_time
from tests.support.histories import history


def _requests(count: int) -> list[LoadRequest]:
    return [LoadRequest(name=str(number), prompt="p") for number in range(count)]


class _Gate:
    """A server that answers nobody until it is opened."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.asked: list[str] = []

    async def send(self, request: LoadRequest) -> History:
        self.asked.append(request.name)
        await self.open.wait()
        return history(request=request)


async def _settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_closed_loop_never_has_more_requests_than_callers() -> None:
    gate = _Gate()
    load = asyncio.create_task(closed_loop(gate.send, _requests(5), num_callers=2))
    await _settled()
    assert gate.asked == ["0", "1"]
    gate.open.set()
    assert len(await load) == 5


async def test_an_open_loop_sends_although_nothing_is_answered() -> None:
    gate = _Gate()
    load = asyncio.create_task(open_loop(gate.send, _requests(3), [0.0, 0.0, 0.0]))
    await _settled()
    assert gate.asked == ["0", "1", "2"]
    gate.open.set()
    assert [h.request.name for h in await load] == ["0", "1", "2"]


async def test_every_end_is_told_when_it_comes() -> None:
    gate = _Gate()
    gate.open.set()
    told: list[History] = []
    histories = await closed_loop(gate.send, _requests(3), num_callers=1, on_end=told.append)
    assert told == histories
    assert len(told) == 3


def test_the_same_seed_gives_the_same_times_at_about_the_rate() -> None:
    times = list(islice(poisson(50.0, seed=1), 5000))
    assert times == list(islice(poisson(50.0, seed=1), 5000))
    assert times == sorted(times)
    # The sum of n exponential gaps has a relative deviation of 1 / sqrt(n): 5 sigma.
    assert abs(times[-1] / 100.0 - 1.0) < 5 / 5000**0.5


async def test_an_open_loop_tells_each_request_when_it_was_due() -> None:
    """By the schedule, which a busy sender does not move."""
    gate = _Gate()
    gate.open.set()
    start = asyncio.get_running_loop().time()
    histories = await open_loop(gate.send, _requests(9), [0.0, 0.01, 0.02])
    due = [h.request.due_s for h in histories]
    assert all(at_s is not None for at_s in due)
    first = due[0] or 0.0
    assert first >= start
    assert [round((at_s or 0.0) - first, 6) for at_s in due] == [0.0, 0.01, 0.02]


def test_constant_arrivals_are_as_far_apart_as_the_rate_says() -> None:
    assert list(islice(constant(4.0, seed=1), 3)) == [0.25, 0.5, 0.75]


def test_arrivals_are_found_by_name() -> None:
    assert {name: next(made(2.0, 1)) for name, made in ARRIVALS.items()} == {
        "constant": 0.5,
        "poisson": next(poisson(2.0, 1)),
    }


def test_no_request_is_handed_out_when_the_time_is_over() -> None:
    clock = iter([0.0, 1.0, 2.0, 3.0])
    assert [r.name for r in while_time(_requests(9), lambda: next(clock), 2.0)] == ["0", "1"]
