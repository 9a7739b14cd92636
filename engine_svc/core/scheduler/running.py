"""The requests that run, the most deserving first: lower priority number, then earlier arrival."""

from bisect import bisect_left, insort
from collections.abc import Iterator
from operator import attrgetter

from engine_svc.core.request import Request

_turn = attrgetter("turn")


class RunningRequests:
    """Ordered by turn, in whatever order they started."""

    def __init__(self) -> None:
        self._requests: list[Request] = []

    def __len__(self) -> int:
        return len(self._requests)

    def __iter__(self) -> Iterator[Request]:
        return iter(self._requests)

    @property
    def least_deserving(self) -> Request:
        """Who is preempted first; there must be somebody."""
        return self._requests[-1]

    def add(self, request: Request) -> None:
        """Put a request in its place."""
        insort(self._requests, request, key=_turn)

    def remove(self, request: Request) -> None:
        """Take a request out."""
        del self._requests[bisect_left(self._requests, request.turn, key=_turn)]

    def of_worse_priority(self, priority: int) -> list[Request]:
        """Those that a request of this priority may preempt to start, the first one first."""
        first = bisect_left(self._requests, (priority + 1,), key=_turn)
        return self._requests[first:][::-1]
