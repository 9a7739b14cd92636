"""Answers that never end by themselves, and who still computes one."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from steeple.inference.v1 import generate_pb2
from tests.support.answers import generate_events
from tests.support.waiting import LIMIT_S


class EndlessAnswers:
    """Scripts for `generate` and `generate_stream`: work goes on until the caller is gone."""

    def __init__(self) -> None:
        self.num_begun = 0
        self.num_live = 0
        self._changed = asyncio.Condition()

    async def generate(self, request: Any) -> generate_pb2.GenerateResponse:
        """Nothing, for ever."""
        async for _ in self.generate_stream(request):
            pass
        raise AssertionError("it does not end")

    async def generate_stream(
        self, _: Any
    ) -> AsyncGenerator[generate_pb2.GenerateStreamResponse, None]:
        """Two events, then nothing, for ever."""
        await self._count(+1)
        try:
            for event in generate_events("4")[:2]:
                yield event
            await asyncio.Event().wait()
        finally:
            await self._count(-1)

    async def begun(self, count: int = 1) -> None:
        """Return once so many have begun."""
        await self._until(lambda: self.num_begun >= count)

    async def idle(self) -> None:
        """Return once some have begun and none is left."""
        await self._until(lambda: self.num_begun > 0 and self.num_live == 0)

    async def _until(self, condition: Any) -> None:
        async with asyncio.timeout(LIMIT_S), self._changed:
            await self._changed.wait_for(condition)

    async def _count(self, change: int) -> None:
        self.num_begun += max(change, 0)
        self.num_live += change
        async with self._changed:
            self._changed.notify_all()
