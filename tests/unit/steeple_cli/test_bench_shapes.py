"""Warm-up first and marked, then what is measured, and no more of it than was wanted."""

import asyncio
import time
from collections.abc import Iterator
from itertools import count
from types import SimpleNamespace

import pytest

from steeple_cli.benching import shapes
from steeple_cli.benching.extent import Extent
from steeple_cli.benching.shapes import OPEN_WARM_UP, ClosedShape, OpenShape
from steeple_cli.load.history import End, LoadRequest
from steeple_cli.load.sample import Sample
from tests.support.samples import sample


def _requests() -> Iterator[LoadRequest]:
    return (LoadRequest(name=str(number), prompt="p") for number in count())


class _Server:
    """Answers at once, and remembers who asked when."""

    def __init__(self, answer: Sample | None = None) -> None:
        self._answer = answer or sample(1.0)
        self.names: list[str] = []
        self.sent_s: list[float] = []
        self.due_s: list[float] = []
        self.num_at_once = self.most_at_once = 0

    async def send(self, request: LoadRequest) -> Sample:
        self.names.append(("w" if request.is_warm_up else "") + request.name)
        self.sent_s.append(time.monotonic())
        self.due_s.append(request.due_s or 0.0)
        self.num_at_once += 1
        self.most_at_once = max(self.most_at_once, self.num_at_once)
        await asyncio.sleep(0)
        self.num_at_once -= 1
        return self._answer


def _extent(
    *, requests: int | None = None, duration_s: float | None = None, warm_up: int | None = None
) -> Extent:
    return Extent(num_requests=requests, duration_s=duration_s, num_warm_up=warm_up)


async def test_callers_send_the_warm_up_and_then_so_many_requests() -> None:
    server = _Server()
    kept = await ClosedShape(num_callers=2).run(
        server.send, _requests(), _extent(requests=3, warm_up=1)
    )
    assert server.names == ["w0", "1", "2", "3"]
    assert server.most_at_once == 2
    assert len(kept) == 4


async def test_each_caller_warms_up_with_one_request_unless_told_otherwise() -> None:
    server = _Server()
    await ClosedShape(num_callers=3).run(server.send, _requests(), _extent(requests=1))
    assert server.names == ["w0", "w1", "w2", "3"]


async def test_callers_send_nothing_when_the_time_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It begins after the warm-up; on this clock each request takes a second."""
    server = _Server()
    clock = SimpleNamespace(monotonic=lambda: float(len(server.names)))
    monkeypatch.setattr(shapes, "time", clock)
    await ClosedShape(num_callers=1).run(
        server.send, _requests(), _extent(duration_s=2.0, warm_up=1)
    )
    assert server.names == ["w0", "1", "2"]


async def test_a_caller_who_was_refused_waits_as_long_as_it_was_told() -> None:
    full = Sample(
        start_s=0.0, sent_s=0.0, ended_s=0.0, end=End.FAILED, is_refused=True, retry_after_s=0.05
    )
    server = _Server(full)
    await ClosedShape(num_callers=1).run(server.send, _requests(), _extent(requests=3, warm_up=0))
    gaps = [after - before for before, after in zip(server.sent_s, server.sent_s[1:], strict=False)]
    assert len(gaps) == 2
    assert min(gaps) >= 0.049  # timers may end a clock tick early


async def test_arrivals_are_those_of_the_schedule_whatever_the_answers() -> None:
    """Ten in 0.095 s at 100/s, after three that only warm up."""
    server = _Server()
    shape = OpenShape(rate=100.0, arrivals="constant", seed=0)
    await shape.run(server.send, _requests(), _extent(duration_s=0.095, warm_up=3))
    assert server.names == ["w0", "w1", "w2", *map(str, range(3, 13))]
    first = server.due_s[0]
    assert [round(at_s - first, 6) for at_s in server.due_s] == [k / 100 for k in range(13)]
    assert all(sent >= due for sent, due in zip(server.sent_s, server.due_s, strict=True))


async def test_an_open_loop_ends_with_the_number_of_requests_too() -> None:
    server = _Server()
    shape = OpenShape(rate=10_000.0, arrivals="poisson", seed=1)
    await shape.run(server.send, _requests(), _extent(requests=5))
    assert len(server.names) == OPEN_WARM_UP + 5
    assert sum(name.startswith("w") for name in server.names) == OPEN_WARM_UP


def test_the_window_of_a_duration_begins_with_the_first_that_is_measured() -> None:
    samples = [sample(3.0, is_warm_up=True), sample(9.0, start_s=5.0), sample(20.0, start_s=6.0)]
    window = _extent(duration_s=10.0).window_of(samples)
    assert (window.start_s, window.end_s) == (5.0, 15.0)
    whole = _extent(requests=2).window_of(samples)
    assert (whole.start_s, whole.end_s) == (5.0, 20.0)
