"""An outbox whose reader is made to leave when it can no longer be told to.

A handler that is suspended in a write hears nothing of a closed outbox: its permit, its session
and its place at the engine would be kept for as long as a caller who does not read likes.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from steeple_rpc.context import fail_rpc
from steeple_rpc.errors import DeadlineExpired, Overloaded, ServiceError
from steeple_rpc.outbox import MAX_WAIT_S, Outbox
from steeple_rpc.telemetry import logger

Item = TypeVar("Item")

GRACE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a reader is borne with."""

    timeout_s: float
    """So long it may read at all."""
    max_wait_s: float = MAX_WAIT_S
    """So long an item may wait, and so long the reader may be busy with one batch."""
    grace_s: float = GRACE_S
    """From the error until its RPC is ended over its head."""


class GuardedOutbox(Generic[Item]):
    """Items on their way to the task that made this; bounded in bytes and in time.

    When its time is over, or it reads too slowly, the reader gets the error with its next batch;
    if it has not left after the grace, its RPC is ended over its head, with the same error, and its
    task is cancelled. `release` must end every use.

    Args:
        clock: monotonic seconds.
        patience: with the reader.
    """

    def __init__(self, clock: Callable[[], float], patience: Patience) -> None:
        self._outbox = Outbox[Item](clock, max_wait_s=patience.max_wait_s)
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._end_rpc = fail_rpc()
        self._timers = [self._loop.call_later(patience.timeout_s, self._expire)]

    def put(self, item: Item, size_bytes: int) -> bool:
        """Add an item; False if there is no reader for it any more."""
        return self._put(self._outbox.put, item, size_bytes)

    def put_silently(self, item: Item, size_bytes: int) -> bool:
        """Add an item that means nothing to the reader before the next one comes, as `put`."""
        return self._put(self._outbox.put_silently, item, size_bytes)

    def close(self, error: ServiceError | None = None) -> None:
        """No more items; the reader gets what waits, then the error if there is one."""
        self._outbox.close(error)

    async def batches(self) -> AsyncGenerator[list[Item], None]:
        """As an outbox's.

        Raises:
            ServiceError: what it was closed with, also by itself: too slow, or out of time.
        """
        async for batch in self._outbox.batches():
            stuck = self._loop.call_later(self._patience.max_wait_s, self._give_up)
            try:
                yield batch
            finally:
                stuck.cancel()

    def release(self) -> None:
        """Take nothing more, and leave the reader alone from now on."""
        self._outbox.close()
        for timer in self._timers:
            timer.cancel()

    def _put(self, put: Callable[[Item, int], bool], item: Item, size_bytes: int) -> bool:
        was_closed = self._outbox.is_closed
        is_taken = put(item, size_bytes)
        if not is_taken and not was_closed and self._outbox.error is not None:
            self._insist(self._outbox.error)
        return is_taken

    def _expire(self) -> None:
        expired = DeadlineExpired("the request took too long")
        self.close(expired)
        self._insist(expired)

    def _insist(self, error: ServiceError) -> None:
        self._timers.append(self._loop.call_later(self._patience.grace_s, self._end_reader, error))

    def _give_up(self) -> None:
        slow = Overloaded(
            f"the client reads too slowly: a message waited {self._patience.max_wait_s:g} s",
            reason="CLIENT_TOO_SLOW",
        )
        self.close(slow)
        self._end_reader(slow)

    def _end_reader(self, error: ServiceError) -> None:
        logger().warning("slow_reader_ended", reason=error.reason)
        self._end_rpc(error)
