"""Callers who watch something without an end: so many at once, and none of them for ever.

One who leaves a message unread holds a place that another wants, and would hold up the process'
end: its RPC is ended over its head, as a handler that waits in a write hears nothing.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gateway.places import Places
from steeple_rpc.context import fail_rpc
from steeple_rpc.errors import Overloaded, ServiceError, Unavailable
from steeple_rpc.outbox import MAX_WAIT_S
from steeple_rpc.principal import Principal

MAX_WATCHERS = 64


class Watchers:
    """The places of those who watch.

    Args:
        max_wait_s: so long a message may wait for its reader.
    """

    def __init__(self, *, max_wait_s: float = MAX_WAIT_S) -> None:
        self._max_wait_s = max_wait_s
        self._places = Places(MAX_WATCHERS, calls="watches", full="TOO_MANY_WATCHERS")
        self._ends: set[Callable[[ServiceError], None]] = set()
        self._is_draining = False

    def drain(self) -> None:
        """End all watches, and let no new one begin."""
        self._is_draining = True
        for end in tuple(self._ends):
            end(_draining())

    @contextmanager
    def place(self, principal: Principal) -> Iterator[None]:
        """The RPC that the running task handles has a place in the block.

        Raises:
            Overloaded: all places are taken, or all that one caller may hold.
            Unavailable: no watch begins any more.
        """
        if self._is_draining:
            raise _draining()
        with self._places.held(principal):
            end = fail_rpc()
            self._ends.add(end)
            try:
                yield
            finally:
                self._ends.discard(end)

    @contextmanager
    def telling(self) -> Iterator[None]:
        """A message of that RPC is with its reader in the block; it is ended if that lasts."""
        loop = asyncio.get_running_loop()
        stuck = loop.call_later(self._max_wait_s, fail_rpc(), self._too_slow())
        try:
            yield
        finally:
            stuck.cancel()

    def _too_slow(self) -> Overloaded:
        return Overloaded(
            f"the client reads too slowly: a message waited {self._max_wait_s:g} s",
            reason="CLIENT_TOO_SLOW",
        )


def _draining() -> Unavailable:
    return Unavailable("the gateway is draining", reason="DRAINING")
