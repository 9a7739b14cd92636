"""An answer that comes, read by a thread."""

import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import grpc

from steeple_client.calls import Call
from steeple_client.errors import ServiceError
from steeple_client.progress import Progress
from steeple_client.sync_caller import SyncCaller
from steeple_client.values import Event, Generation, TextDelta


class GenerationStream(Iterator[Event]):
    """The events of one answer as they come; the request is under way from the start.

    Leaving it cancels the request, and the engine stops computing: by the end of a `with` block,
    `cancel`, or by dropping the stream. One thread reads; any thread may cancel.
    """

    def __init__(self, caller: SyncCaller, call: Call[Event | None]) -> None:
        self._caller = caller
        self._call = call
        self._left = threading.Event()
        self._attempts = caller.attempts(call)
        self._progress = Progress(call, self._attempts)
        # The library cancels a call of this kind that is dropped, and so with the stream.
        self._running = caller.stream(call, self._attempts)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cancel()

    def __next__(self) -> Event:
        """The next event.

        Raises:
            ServiceError: the request failed.
            StopIteration: it has ended, or was cancelled.
        """
        while not self._left.is_set() and self._progress.error is None:
            try:
                event = self._progress.took(next(self._running))
            except grpc.RpcError as error:
                self._failed(self._caller.failure(error))
            except StopIteration:
                break
            except BaseException:
                # Interrupted, perhaps in a terminal that keeps the traceback, and so this, alive.
                self.cancel()
                raise
            else:
                if event is not None:
                    return event
        raise StopIteration

    def texts(self) -> Iterator[str]:
        """Only the new texts, none of them empty, as they come."""
        return (event.text for event in self if isinstance(event, TextDelta) and event.text)

    @property
    def text(self) -> str:
        """All text that was read so far."""
        return self._progress.text

    def result(self) -> Generation:
        """Read what is left and return the whole answer.

        Raises:
            ServiceError: the request failed, or was cancelled before its end.
        """
        for _ in self:
            pass
        return self._progress.generation(was_cancelled=self._left.is_set())

    def cancel(self) -> None:
        """End the request; who reads on meets the end. Idempotent, harmless after the end."""
        # In this order: an attempt that starts meanwhile sees the mark.
        self._left.set()
        self._running.cancel()

    close = cancel

    def _failed(self, error: ServiceError) -> None:
        """Start the next attempt, or remember the end."""
        if self._left.is_set():
            return
        try:
            self._caller.wait_for_next(self._attempts, error, self._left)
            if not self._left.is_set():
                self._running = self._caller.stream(self._call, self._attempts)
        except ServiceError as final:
            self._progress.error = final
            raise final from None
        # Once more: it may have been cancelled while the attempt was started.
        if self._left.is_set():
            self._running.cancel()
