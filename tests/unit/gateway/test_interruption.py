"""A block that waits is left with the error; what comes later is not touched."""

import asyncio

import pytest

from gateway.interruption import Interruption
from steeple_rpc.errors import Unavailable
from tests.support.waiting import LIMIT_S


async def test_whoever_waits_in_a_block_leaves_with_the_error() -> None:
    interruption = Interruption()

    async def wait() -> None:
        async with interruption.block():
            await asyncio.Event().wait()

    waiting = [asyncio.create_task(wait()) for _ in range(2)]
    await asyncio.sleep(0)
    error = Unavailable("silent", reason="ENGINE_STALLED")
    interruption.interrupt(error)
    async with asyncio.timeout(LIMIT_S):
        assert await asyncio.gather(*waiting, return_exceptions=True) == [error, error]


async def test_a_block_that_is_entered_later_is_not_interrupted() -> None:
    interruption = Interruption()
    interruption.interrupt(Unavailable("silent"))
    async with interruption.block():
        await asyncio.sleep(0)


async def test_a_timeout_of_somebody_elses_passes_as_it_is() -> None:
    interruption = Interruption()
    with pytest.raises(TimeoutError):
        async with interruption.block():
            raise TimeoutError


async def test_a_cancelled_task_is_cancelled_and_nothing_else() -> None:
    interruption = Interruption()

    async def wait() -> None:
        async with interruption.block():
            await asyncio.Event().wait()

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert waiting.cancelled()
