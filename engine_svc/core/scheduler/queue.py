"""The order in which requests wait: lower priority number first, then order of arrival."""

from bisect import insort
from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain, takewhile

from engine_svc.core.params import RequestId
from engine_svc.core.request import Request
from engine_svc.core.scheduler.timers import Timers

_Lane = OrderedDict[RequestId, Request]


class WaitingQueue:
    """Requests in turn; any of them can leave from anywhere at once, in constant time."""

    def __init__(self) -> None:
        self._lanes: dict[int, _Lane] = {}
        self._priorities: list[int] = []
        self._deadlines = Timers(self.__contains__)
        self._num_requests = 0
        self._num_tokens = 0

    def __len__(self) -> int:
        return self._num_requests

    def __iter__(self) -> Iterator[Request]:
        return chain.from_iterable(self._lanes[p].values() for p in self._priorities)

    def __contains__(self, request: Request) -> bool:
        lane = self._lanes.get(request.spec.priority)
        return lane is not None and lane.get(request.request_id) is request

    @property
    def num_tokens(self) -> int:
        """Tokens to compute before all that wait have their first token."""
        return self._num_tokens

    def push(self, request: Request) -> None:
        """Add behind all of its priority."""
        self._lane(request.spec.priority)[request.request_id] = request
        self._count_in(request)

    def put_back(self, request: Request) -> None:
        """Add where its arrival puts it: before all of its priority that came later.

        Costs time in proportion to those that came earlier: they were put back as well.
        """
        lane = self._lane(request.spec.priority)
        earlier = list(takewhile(lambda other: other.turn < request.turn, lane.values()))
        for moved in (request, *reversed(earlier)):
            lane[moved.request_id] = moved
            lane.move_to_end(moved.request_id, last=False)
        self._count_in(request)

    def peek(self) -> Request | None:
        """Whose turn it is."""
        return next(iter(self), None)

    def remove(self, request: Request) -> None:
        """Take a request out, wherever it stands."""
        priority = request.spec.priority
        del self._lanes[priority][request.request_id]
        if not self._lanes[priority]:
            del self._lanes[priority]
            self._priorities.remove(priority)
        self._num_requests -= 1
        self._num_tokens -= len(request.token_ids)

    def expired(self, now: float) -> list[Request]:
        """The requests that wait although their deadline has passed; they stay until removed."""
        return self._deadlines.due(now)

    def _lane(self, priority: int) -> _Lane:
        if priority not in self._lanes:
            self._lanes[priority] = OrderedDict()
            insort(self._priorities, priority)
        return self._lanes[priority]

    def _count_in(self, request: Request) -> None:
        self._num_requests += 1
        self._num_tokens += len(request.token_ids)
        if request.deadline is not None:
            self._deadlines.set(request.deadline, request)
