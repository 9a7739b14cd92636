import asyncio

import pytest

from gateway.leave import Leave


class Call:
    """A call that ends as grpc's do: its reader hears of it."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.num_cancels = 0

    def cancel(self) -> bool:
        self.num_cancels += 1
        self.ended.set()
        return True


async def test_a_task_that_reads_no_call_is_cancelled_where_it_waits() -> None:
    leave = Leave()
    task = asyncio.create_task(_forever())
    await asyncio.sleep(0)
    leave.leave(task)
    await asyncio.wait({task})
    assert task.cancelled()


async def test_a_reader_reads_its_call_to_the_end_and_is_cancelled_then() -> None:
    """The read itself is not interrupted."""
    leave, call = Leave(), Call()
    was_interrupted = True

    async def read() -> None:
        nonlocal was_interrupted
        with leave.reading(call):
            await call.ended.wait()
            was_interrupted = False
        pytest.fail("went on to the next thing")

    task = asyncio.create_task(read())
    await asyncio.sleep(0)
    leave.leave(task)
    leave.leave(task)
    await asyncio.wait({task})
    assert task.cancelled()
    assert not was_interrupted


async def test_a_failure_of_a_call_that_was_left_is_nobodys() -> None:
    """A takeover must not begin for it."""
    leave, call = Leave(), Call()

    async def read() -> None:
        with leave.reading(call):
            await call.ended.wait()
            raise ConnectionError

    task = asyncio.create_task(read())
    await asyncio.sleep(0)
    leave.leave(task)
    await asyncio.wait({task})
    assert task.cancelled()


async def test_a_call_is_cancelled_however_its_reader_ends() -> None:
    call = Call()
    with Leave().reading(call):
        pass
    assert call.num_cancels == 1
    with pytest.raises(ValueError, match="odd"), Leave().reading(call):
        raise ValueError("odd")
    assert call.num_cancels == 2


async def _forever() -> None:
    await asyncio.Event().wait()
