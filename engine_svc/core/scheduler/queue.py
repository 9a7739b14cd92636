"""The order in which requests wait: lower priority number first, then order of arrival."""

from bisect import insort
from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain

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
        return request.request_id in self._lanes.get(request.spec.priority, ())

    @property
    def num_tokens(self) -> int:
        """Tokens to compute before all that wait have their first token."""
        return self._num_tokens

    def push(self, request: Request) -> None:
        """Add behind all of its priority."""
        priority = request.spec.priority
        if priority not in self._lanes:
            self._lanes[priority] = OrderedDict()
            insort(self._priorities, priority)
        self._lanes[priority][request.request_id] = request
        self._num_requests += 1
        self._num_tokens += len(request.token_ids)
        if request.deadline is not None:
            self._deadlines.set(request.deadline, request)

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
