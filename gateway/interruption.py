"""Blocks of code that somebody else can make leave with an error."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from steeple_rpc.errors import ServiceError


class Interruption:
    """Whoever waits in one of its blocks leaves when it is raised; later blocks are not touched."""

    def __init__(self) -> None:
        self._blocks: set[asyncio.Timeout] = set()
        self._error: ServiceError | None = None

    @asynccontextmanager
    async def block(self) -> AsyncIterator[None]:
        """Run until done or interrupted.

        Raises:
            ServiceError: the one that it was interrupted with.
        """
        # A timeout without a time costs nothing per await, and can be given one from outside.
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._blocks.add(scope)
                yield
        except TimeoutError:
            if not scope.expired() or self._error is None:
                raise
            raise self._error from None
        finally:
            self._blocks.discard(scope)

    def interrupt(self, error: ServiceError) -> None:
        """Make all who are in a block now leave it with `error`."""
        self._error = error
        blocks, self._blocks = self._blocks, set()
        for scope in blocks:
            scope.reschedule(asyncio.get_running_loop().time())
