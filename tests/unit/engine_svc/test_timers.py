"""Whose moment has come."""

from engine_svc.core.request import Request
from engine_svc.core.scheduler.timers import Timers
from tests.support.requests import request_spec


def request(name: str) -> Request:
    return Request(spec=request_spec(name), arrival=0.0)


def test_each_is_told_once_in_order_of_time() -> None:
    """Also where two moments were set for one request, and where moments are equal."""
    a, b, c = request("a"), request("b"), request("c")
    timers = Timers(lambda _: True)
    for when, each in ((3.0, a), (1.0, b), (3.0, c), (2.0, a)):
        timers.set(when, each)
    assert timers.due(0.9) == []
    assert timers.due(1.0) == [b]
    assert timers.due(9.0) == [a, c]
    assert timers.due(9.0) == []


def test_whoever_no_longer_counts_is_left_out() -> None:
    gone = {"a"}
    timers = Timers(lambda each: each.request_id not in gone)
    a, b = request("a"), request("b")
    timers.set(1.0, a)
    timers.set(1.0, b)
    assert timers.due(1.0) == [b]


def test_memory_follows_those_that_count() -> None:
    """However many ever came, and none that counts is lost."""
    kept = request("kept")
    timers = Timers(lambda each: each is kept)
    timers.set(7.0, kept)
    for idx in range(1000):
        timers.set(1e9, request(f"r{idx}"))
    assert len(timers) < 100
    assert timers.due(8.0) == [kept]
