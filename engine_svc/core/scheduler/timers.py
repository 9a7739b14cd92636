"""Moments at which something is due for a request."""

import heapq
from collections.abc import Callable
from itertools import count

from engine_svc.core.params import RequestId
from engine_svc.core.request import Request

_MIN_FORGOTTEN = 64


class Timers:
    """Who is due when; whoever no longer counts by then is left out.

    Args:
        counts: whether a request still counts.
    """

    def __init__(self, counts: Callable[[Request], bool]) -> None:
        self._counts = counts
        self._heap: list[tuple[float, int, Request]] = []
        self._serials = count()
        self._full_at = _MIN_FORGOTTEN

    def __len__(self) -> int:
        return len(self._heap)

    def set(self, when: float, request: Request) -> None:
        """Let a request be due at `when`."""
        heapq.heappush(self._heap, (when, next(self._serials), request))
        if len(self._heap) > self._full_at:
            self._forget()

    def due(self, now: float) -> list[Request]:
        """Those whose moment has come, each once, the earliest first; they are told only now."""
        found: dict[RequestId, Request] = {}
        while self._heap and self._heap[0][0] <= now:
            _, _, request = heapq.heappop(self._heap)
            if self._counts(request):
                found[request.request_id] = request
        return list(found.values())

    def _forget(self) -> None:
        """Drop those that no longer count or were set twice, before they outnumber the others."""
        kept = {entry[2].request_id: entry for entry in self._heap if self._counts(entry[2])}
        self._heap = list(kept.values())
        heapq.heapify(self._heap)
        self._full_at = 2 * len(self._heap) + _MIN_FORGOTTEN
