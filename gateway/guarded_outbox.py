"""An outbox whose reader is made to leave when it can no longer be told to.

A handler that is suspended in a write hears nothing of a closed outbox: its permit, its session
and its place at the engine would be kept for as long as a caller who does not read likes.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Generic, TypeVar

from steeple_rpc.errors import DeadlineExpired, Overloaded, ServiceError
from steeple_rpc.outbox import MAX_WAIT_S, Outbox
from steeple_rpc.telemetry import logger

Item = TypeVar("Item")

GRACE_S = 1.0


class GuardedOutbox(Generic[Item]):
    """Items on their way to the task that made this; bounded in bytes and in time.

    When its time is over, or it reads too slowly, the reader gets the error with its next batch;
    if it has not left `grace_s` later, its task is cancelled. `release` must end every use.

    Args:
        clock: monotonic seconds.
        timeout_s: so long it may be read.
        grace_s: from the error until the reader's task is cancelled.
        max_write_s: so long the reader may be busy with one batch.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        timeout_s: float,
        grace_s: float = GRACE_S,
        max_write_s: float = MAX_WAIT_S,
    ) -> None:
        self._outbox = Outbox[Item](clock)
        self._grace_s = grace_s
        self._max_write_s = max_write_s
        self._loop = asyncio.get_running_loop()
        self._reader = asyncio.current_task()
        self._timers = [self._loop.call_later(timeout_s, self._expire)]

    def put(self, item: Item, size_bytes: int) -> bool:
        """Add an item; False if there is no reader for it any more."""
        was_closed = self._outbox.is_closed
        is_taken = self._outbox.put(item, size_bytes)
        if not is_taken and not was_closed:
            self._insist()
        return is_taken

    def close(self, error: ServiceError | None = None) -> None:
        """No more items; the reader gets what waits, then the error if there is one."""
        self._outbox.close(error)

    async def batches(self) -> AsyncGenerator[list[Item], None]:
        """As an outbox's.

        Raises:
            ServiceError: what it was closed with, also by itself: too slow, or out of time.
        """
        async for batch in self._outbox.batches():
            stuck = self._loop.call_later(self._max_write_s, self._give_up)
            try:
                yield batch
            finally:
                stuck.cancel()

    def release(self) -> None:
        """Leave the reader alone from now on."""
        for timer in self._timers:
            timer.cancel()

    def _expire(self) -> None:
        self.close(DeadlineExpired("the request took too long"))
        self._insist()

    def _insist(self) -> None:
        self._timers.append(self._loop.call_later(self._grace_s, self._end_reader))

    def _give_up(self) -> None:
        self.close(
            Overloaded(
                f"the client reads too slowly: a message waited {self._max_write_s:g} s",
                reason="CLIENT_TOO_SLOW",
            )
        )
        self._end_reader()

    def _end_reader(self) -> None:
        if self._reader is not None:
            logger().warning("slow_reader_ended")
            self._reader.cancel()
