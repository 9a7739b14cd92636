"""An answer that comes, read on an event loop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

import grpc

from steeple_client.aio_caller import AsyncCaller
from steeple_client.calls import Call
from steeple_client.errors import ServiceError
from steeple_client.progress import Progress
from steeple_client.values import Event, Generation, TextDelta


class AsyncGenerationStream(AsyncIterator[Event]):
    """The events of one answer as they come; the request is under way from the start.

    Leaving it cancels the request, and the engine stops computing: by the end of an `async with`
    block, `cancel`, the cancellation of the task that reads, or by dropping the stream.
    """

    def __init__(self, caller: AsyncCaller, call: Call[Event | None]) -> None:
        self._caller = caller
        self._call = call
        self._left = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._attempts = caller.attempts(call)
        self._progress = Progress(call, self._attempts)
        self._running = caller.start(call, self._attempts)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cancel()

    def __del__(self) -> None:
        # Without a running call the construction failed. Dropped on any thread, it is cancelled
        # on its own; a loop that is closed has nothing running.
        if hasattr(self, "_running"):
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._running.cancel)

    async def __anext__(self) -> Event:
        """The next event.

        Raises:
            ServiceError: the request failed.
            StopAsyncIteration: it has ended, or was cancelled.
        """
        while not self._left.is_set() and self._progress.error is None:
            try:
                # Whoever is cancelled here ends the call, and its read hears of that: what a read
                # holds is never freed if it is cut off itself (docs/grpc.md).
                message = await asyncio.shield(self._running.read())
            except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
                await self._failed(error)
                continue
            if message is grpc.aio.EOF:
                break
            if (event := self._progress.took(message)) is not None:
                return event
        raise StopAsyncIteration

    async def texts(self) -> AsyncIterator[str]:
        """Only the new texts, none of them empty, as they come."""
        async for event in self:
            if isinstance(event, TextDelta) and event.text:
                yield event.text

    @property
    def text(self) -> str:
        """All text that was read so far."""
        return self._progress.text

    async def result(self) -> Generation:
        """Read what is left and return the whole answer.

        Raises:
            ServiceError: the request failed, or was cancelled before its end.
        """
        async for _ in self:
            pass
        return self._progress.generation(was_cancelled=self._left.is_set())

    def cancel(self) -> None:
        """End the request; who reads on meets the end. Idempotent, harmless after the end."""
        # In this order: an attempt that starts meanwhile sees the mark.
        self._left.set()
        self._running.cancel()

    async def aclose(self) -> None:
        """As `cancel`, for `contextlib.aclosing`."""
        self.cancel()

    async def _failed(self, error: grpc.aio.AioRpcError | asyncio.CancelledError) -> None:
        """Start the next attempt, or remember the end."""
        try:
            failure = self._caller.failure(error)
            if self._left.is_set():
                return
            pause_s = self._caller.pause_s(self._attempts, failure)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._left.wait(), pause_s)
            if not self._left.is_set():
                self._running = self._caller.start(self._call, self._attempts)
        except asyncio.CancelledError:
            self.cancel()
            raise
        except ServiceError as final:
            self._progress.error = final
            raise final from None
