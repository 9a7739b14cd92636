"""News without content: whoever waits is woken by the next one."""

import asyncio


class Changes:
    """Something that changes; nobody polls it."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def tell(self) -> None:
        """Wake everybody who waits now."""
        told, self._next = self._next, asyncio.Event()
        told.set()

    async def wait(self, timeout_s: float) -> None:
        """Return at the next change, or when the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._next.wait()
        except TimeoutError:
            return
