"""How a task that reads an upstream's call is ended from outside.

grpcio frees what a read holds only when the read comes to its own end: a task that is cancelled in
the middle of one leaves some KiB behind for ever (docs/grpc.md). So the call is ended, and its
reader, who then hears so, ends itself.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Cancellable(Protocol):
    """A call of grpc's."""

    def cancel(self) -> bool:
        """End it now; whoever reads it is told."""


class Leave:
    """The way out of one task."""

    def __init__(self) -> None:
        self._call: Cancellable | None = None
        self._has_left = False

    @contextmanager
    def reading(self, call: Cancellable) -> Iterator[None]:
        """The task reads this call in the block, and nothing else.

        Raises:
            CancelledError: the task was left meanwhile, whatever the call came to.
        """
        self._call = call
        try:
            yield
        finally:
            self._call = None
            call.cancel()
            if self._has_left:
                raise asyncio.CancelledError

    def leave(self, task: "asyncio.Task[None]") -> None:
        """End the task: by its call if it reads one, else where it waits. Idempotent."""
        if self._call is None:
            task.cancel()
        else:
            self._has_left = True
            self._call.cancel()
