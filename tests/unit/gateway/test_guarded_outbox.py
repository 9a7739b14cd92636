"""A reader that cannot be told is made to leave; one that can be is left alone."""

import asyncio
from contextlib import aclosing

import pytest

from gateway.guarded_outbox import GuardedOutbox, Patience
from steeple_rpc.errors import DeadlineExpired, Overloaded, ServiceError
from steeple_rpc.outbox import MAX_BYTES
from tests.support.virtual_time import in_virtual_time

PATIENCE_S = 5.0
LONG_S = 60.0
SHORT_S = 0.01


def outbox(
    *, timeout_s: float = LONG_S, grace_s: float = LONG_S, max_wait_s: float = LONG_S
) -> GuardedOutbox[str]:
    clock = asyncio.get_running_loop().time
    patience = Patience(timeout_s=timeout_s, grace_s=grace_s, max_wait_s=max_wait_s)
    return GuardedOutbox(clock, patience)


async def next_batch(box: GuardedOutbox[str]) -> list[str]:
    async with asyncio.timeout(PATIENCE_S):
        return await anext(box.batches())


async def stuck(box: GuardedOutbox[str], *later: tuple[str, int]) -> None:
    """Take one batch and never ask for another one, whatever is put later."""
    async with asyncio.timeout(PATIENCE_S), aclosing(box.batches()) as batches:
        await anext(batches)
        for item, size_bytes in later:
            box.put(item, size_bytes)
        await asyncio.Event().wait()


@in_virtual_time
async def test_a_reader_that_is_stuck_when_its_time_is_over_is_cancelled() -> None:
    async def read() -> None:
        box = outbox(timeout_s=SHORT_S, grace_s=SHORT_S)
        box.put("a", 1)
        await stuck(box)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(read())


@in_virtual_time
async def test_a_reader_that_is_stuck_when_too_much_waits_is_cancelled() -> None:
    async def read() -> None:
        box = outbox(grace_s=SHORT_S)
        box.put("a", 1)
        await stuck(box, ("b", MAX_BYTES + 1))

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(read())


@in_virtual_time
async def test_a_reader_that_is_stuck_after_the_end_is_cancelled() -> None:
    """Nothing more is put then that could show that it is slow."""

    async def read() -> None:
        box = outbox(max_wait_s=SHORT_S)
        box.put("a", 1)
        box.close()
        await stuck(box)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(read())


@pytest.mark.parametrize("kind", [DeadlineExpired, Overloaded])
@in_virtual_time
async def test_a_reader_that_can_be_told_leaves_with_the_error(kind: type[ServiceError]) -> None:
    box = outbox(timeout_s=SHORT_S if kind is DeadlineExpired else LONG_S)
    if kind is Overloaded:
        box.put("a", MAX_BYTES + 1)
    with pytest.raises(kind):
        await next_batch(box)
    box.release()


@in_virtual_time
async def test_a_reader_is_left_alone_once_it_has_released() -> None:
    """Also when it was told to leave before."""
    box = outbox(timeout_s=SHORT_S)
    with pytest.raises(DeadlineExpired):
        await next_batch(box)
    assert not any(timer.cancelled() for timer in box._timers)
    box.release()
    assert all(timer.cancelled() for timer in box._timers)


@in_virtual_time
async def test_what_comes_after_the_end_does_not_count_as_slowness() -> None:
    """A stop string closes it while the engine still produces."""
    box = outbox(grace_s=0.0)
    box.close()
    assert not box.put("late", MAX_BYTES + 1)
    assert len(box._timers) == 1
    box.release()


@in_virtual_time
async def test_what_comes_after_the_release_ends_nobody() -> None:
    """A session may still tell something while its request leaves; its task has other work then."""

    async def read() -> None:
        box = outbox(grace_s=SHORT_S)
        box.put("a", 1)
        box.release()
        assert not box.put("b", MAX_BYTES + 1)
        await asyncio.sleep(2 * SHORT_S)

    await asyncio.create_task(read())


@in_virtual_time
async def test_a_reader_that_waits_for_what_comes_next_is_not_slow() -> None:
    """An engine may be silent for far longer than a reader may be busy with one batch."""
    box, got = outbox(max_wait_s=SHORT_S), asyncio.Queue[list[str]]()

    async def read() -> None:
        async for batch in box.batches():
            got.put_nowait(batch)

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(read())
        for item in ("a", "b"):
            box.put(item, 1)
            assert await got.get() == [item]
            await asyncio.sleep(3 * SHORT_S)
        box.close()
    box.release()
