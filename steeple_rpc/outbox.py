"""A coalescing outbox: what gathers while a message is on its way leaves as one message.

One per stream. The writer never waits; the reader takes all there is, so an idle stream gets one
item per message and a loaded one fewer and larger messages. A reader that is too slow is told.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Generic, TypeVar

from steeple_rpc.errors import Overloaded, ServiceError

Item = TypeVar("Item")

MAX_BYTES = 1 << 20
MAX_WAIT_S = 30.0


class Outbox(Generic[Item]):
    """Items on their way to one reader, bounded in bytes and in time.

    Args:
        clock: monotonic seconds.
        max_bytes: what may wait.
        max_wait_s: how long it may wait.
        wake: called when there is something to take, or the end; None = `batches` is read.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        max_bytes: int = MAX_BYTES,
        max_wait_s: float = MAX_WAIT_S,
        wake: Callable[[], None] | None = None,
    ) -> None:
        self._clock = clock
        self._max_bytes = max_bytes
        self._max_wait_s = max_wait_s
        self._items: list[Item] = []
        self._bytes = 0
        self._oldest: float | None = None
        self._closed = False
        self._error: ServiceError | None = None
        self._news = asyncio.Event()
        self._wake = wake or self._news.set

    @property
    def is_closed(self) -> bool:
        """Whether nothing more can be put."""
        return self._closed

    @property
    def num_bytes(self) -> int:
        """What waits."""
        return self._bytes

    @property
    def error(self) -> ServiceError | None:
        """What it was closed with."""
        return self._error

    def put(self, item: Item, size_bytes: int) -> bool:
        """Add an item; False if the reader is too slow, and then the outbox is closed."""
        if self._oldest is None:
            self._oldest = self._clock()
        is_taken = self._add(item, size_bytes)
        if is_taken:
            self._wake()
        return is_taken

    def put_silently(self, item: Item, size_bytes: int) -> bool:
        """As `put`, but the reader gets it with what comes next, with the end, or once it is much.

        Until then it waits by our own will, which is no slowness of the reader's.
        """
        if self._bytes + size_bytes > self._max_bytes // 2:
            return self.put(item, size_bytes)
        return self._add(item, size_bytes)

    def close(self, error: ServiceError | None = None) -> None:
        """No more items; the reader gets what waits, then the error if there is one."""
        if not self._closed:
            self._closed = True
            self._error = error
            self._wake()

    def take(self) -> list[Item]:
        """Everything that gathered since the last time; maybe nothing."""
        batch, self._items, self._bytes = self._items, [], 0
        self._oldest = None
        return batch

    async def batches(self) -> AsyncGenerator[list[Item], None]:
        """Everything that gathered since the last batch, again and again until closed.

        Raises:
            ServiceError: the one that the outbox was closed with.
        """
        while self._items or not self._closed:
            await self._news.wait()
            # One turn of the loop: nothing where it is idle, and where it is busy long enough for
            # the next step's tokens to come, too.
            await asyncio.sleep(0)
            self._news.clear()
            if batch := self.take():
                yield batch
        if self._error is not None:
            raise self._error

    def _add(self, item: Item, size_bytes: int) -> bool:
        if self._closed:
            return False
        self._items.append(item)
        self._bytes += size_bytes
        waited_s = 0.0 if self._oldest is None else self._clock() - self._oldest
        if self._bytes > self._max_bytes or waited_s > self._max_wait_s:
            self._items.clear()
            self.close(
                Overloaded(
                    f"the client reads too slowly: {self._bytes} bytes waited {waited_s:.1f} s;"
                    f" limits are {self._max_bytes} bytes and {self._max_wait_s:g} s",
                    reason="CLIENT_TOO_SLOW",
                )
            )
            return False
        return True
