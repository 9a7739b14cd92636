"""Requests wait in order of priority, then of arrival; those whose callers gave up are told."""

from dataclasses import replace

from engine_svc.core.request import Request
from engine_svc.core.scheduler.queue import WaitingQueue
from tests.support.requests import request_spec


def request(name: str, *, priority: int = 0, timeout_s: float | None = None) -> Request:
    """A request that arrived at 10 s."""
    spec = replace(request_spec(name), priority=priority, timeout_s=timeout_s)
    return Request(spec=spec, arrival=10.0)


def arrived(name: str, arrival_idx: int, *, timeout_s: float | None = None) -> Request:
    """A request that knows how many came before it."""
    spec = replace(request_spec(name), timeout_s=timeout_s)
    return Request(spec=spec, arrival=10.0, arrival_idx=arrival_idx)


def filled(*requests: Request) -> WaitingQueue:
    queue = WaitingQueue()
    for each in requests:
        queue.push(each)
    return queue


def names(queue: WaitingQueue) -> list[str]:
    return [str(each.request_id) for each in queue]


def test_lower_numbers_go_first_and_equals_in_order_of_arrival() -> None:
    """Whatever the order of arrival between priorities."""
    queue = filled(
        request("a", priority=5),
        request("b"),
        request("c", priority=-1),
        request("d"),
    )
    assert names(queue) == ["c", "b", "d", "a"]
    assert queue.peek() is not None
    assert len(queue) == 4


def test_anybody_can_leave_from_anywhere() -> None:
    """The rest keep their order; the token count follows."""
    kept = [request("a"), request("c", priority=1)]
    gone = [request("b"), request("d", priority=1), request("e", priority=2)]
    queue = filled(kept[0], gone[0], kept[1], *gone[1:])
    for each in gone:
        assert each in queue
        queue.remove(each)
        assert each not in queue
    assert names(queue) == ["a", "c"]
    assert queue.num_tokens == 6


def test_an_empty_queue_has_no_head() -> None:
    """Before anybody came and after all left."""
    queue = WaitingQueue()
    assert queue.peek() is None
    only = request("a", priority=3)
    queue.push(only)
    queue.remove(only)
    assert queue.peek() is None
    assert (len(queue), queue.num_tokens) == (0, 0)


def test_a_deadline_is_told_once_it_has_passed_and_only_once() -> None:
    """The earliest first; requests without one wait for ever."""
    late, soon, never = request("l", timeout_s=9), request("s", timeout_s=1), request("n")
    queue = filled(late, soon, never)
    assert queue.expired(10.9) == []
    assert queue.expired(11.0) == [soon]
    queue.remove(soon)
    assert queue.expired(100.0) == [late]
    assert queue.expired(200.0) == []


def test_a_request_that_left_does_not_expire() -> None:
    """It runs, or is gone."""
    left = request("a", timeout_s=1)
    queue = filled(left)
    queue.remove(left)
    assert queue.expired(99.0) == []


def test_deadlines_of_those_that_left_are_forgotten() -> None:
    """Memory follows those that wait, not all that ever came."""
    queue = WaitingQueue()
    for index in range(1000):
        each = request(f"r{index}", timeout_s=1e9)
        queue.push(each)
        queue.remove(each)
        queue.expired(10.0)
    assert len(queue._deadlines) < 100


def test_whoever_is_put_back_stands_where_its_arrival_puts_it() -> None:
    """Before all that came later, behind those that were put back and came earlier."""
    requests = [arrived(name, idx) for idx, name in enumerate("abcd")]
    queue = filled(*requests)
    for each in requests[:3]:
        queue.remove(each)
    for each in (requests[1], requests[0], requests[2]):
        queue.put_back(each)
    assert names(queue) == ["a", "b", "c", "d"]
    assert (len(queue), queue.num_tokens) == (4, 12)


def test_whoever_is_put_back_has_its_deadline_again_and_once() -> None:
    """Also when it had passed while the request ran."""
    again, late = arrived("a", 0, timeout_s=1), arrived("l", 1, timeout_s=2)
    queue = filled(again, late)
    for each in (again, late):
        queue.remove(each)
    assert queue.expired(11.5) == []
    for each in (again, late):
        queue.put_back(each)
    assert queue.expired(12.0) == [again, late]


def test_deadlines_of_those_that_are_put_back_are_kept_once() -> None:
    """Memory follows those that wait, not how often they were preempted."""
    queue, each = WaitingQueue(), arrived("a", 0, timeout_s=1e9)
    queue.push(each)
    for _ in range(1000):
        queue.remove(each)
        queue.put_back(each)
        queue.expired(10.0)
    assert len(queue._deadlines) < 100
