"""What waits for a reader, in which portions it leaves, and how a slow reader is told."""

import asyncio

import pytest

from steeple_rpc.errors import EngineFault, Overloaded
from steeple_rpc.outbox import Outbox


class Clock:
    """Stands still until it is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outbox(clock: Clock) -> Outbox[str]:
    return Outbox[str](clock, max_bytes=10, max_wait_s=30.0)


async def rest(outbox: Outbox[str]) -> list[list[str]]:
    return [batch async for batch in outbox.batches()]


async def test_what_gathered_leaves_as_one_batch(outbox: Outbox[str]) -> None:
    for item in "abc":
        assert outbox.put(item, 1)
    batches = outbox.batches()
    assert await anext(batches) == ["a", "b", "c"]
    await batches.aclose()


async def test_an_idle_stream_gets_every_item_at_once(outbox: Outbox[str]) -> None:
    """A reader that waits is woken by each item: one token per message."""
    batches = outbox.batches()
    for item in "abc":
        reading = asyncio.ensure_future(anext(batches))
        await asyncio.wait({reading}, timeout=0)
        assert not reading.done()
        outbox.put(item, 1)
        assert await reading == [item]


async def test_a_silent_item_leaves_with_the_next_one(outbox: Outbox[str]) -> None:
    batches = outbox.batches()
    reading = asyncio.ensure_future(anext(batches))
    assert outbox.put_silently("a", 1)
    await asyncio.wait({reading}, timeout=0)
    assert not reading.done()
    assert outbox.put("b", 1)
    assert await reading == ["a", "b"]


async def test_a_silent_item_leaves_with_the_end(outbox: Outbox[str]) -> None:
    outbox.put_silently("a", 1)
    outbox.close()
    assert await rest(outbox) == [["a"]]
    assert not outbox.put_silently("b", 1)


async def test_a_silent_item_may_wait_for_long(outbox: Outbox[str], clock: Clock) -> None:
    """What nobody was woken for does not tell that the reader is slow."""
    outbox.put_silently("a", 1)
    clock.now += 1000
    assert outbox.put_silently("b", 1)
    assert outbox.put("c", 1)
    outbox.close()
    assert await rest(outbox) == [["a", "b", "c"]]


async def test_silent_items_that_are_much_wake_the_reader(outbox: Outbox[str]) -> None:
    batches = outbox.batches()
    for _ in range(3):  # 12 bytes, and the outbox holds 10
        reading = asyncio.ensure_future(anext(batches))
        await asyncio.wait({reading}, timeout=0)
        assert outbox.put_silently("a", 3)
        assert outbox.put_silently("b", 3)
        assert await reading == ["a", "b"]


@pytest.mark.parametrize(("after_s", "size_bytes"), [(31, 1), (0, 10)])
async def test_a_silent_item_finds_out_that_the_reader_is_too_slow(
    outbox: Outbox[str], clock: Clock, after_s: float, size_bytes: int
) -> None:
    outbox.put("a", 1)
    clock.now += after_s
    assert not outbox.put_silently("b", size_bytes)
    with pytest.raises(Overloaded):
        await rest(outbox)


async def test_what_comes_within_a_turn_of_the_loop_leaves_together(outbox: Outbox[str]) -> None:
    batches = outbox.batches()
    reading = asyncio.ensure_future(anext(batches))
    await asyncio.sleep(0)
    outbox.put("a", 1)
    await asyncio.sleep(0)
    outbox.put("b", 1)
    assert await reading == ["a", "b"]


async def test_what_comes_while_a_batch_is_on_its_way_is_the_next_batch(
    outbox: Outbox[str],
) -> None:
    outbox.put("a", 1)
    batches = outbox.batches()
    assert await anext(batches) == ["a"]
    outbox.put("b", 1)
    outbox.put("c", 1)
    assert await anext(batches) == ["b", "c"]


async def test_a_reader_that_starts_after_the_end_misses_nothing(outbox: Outbox[str]) -> None:
    outbox.put("a", 1)
    outbox.put("b", 1)
    outbox.close()
    assert await rest(outbox) == [["a", "b"]]


async def test_an_outbox_that_closes_empty_ends_its_reader(outbox: Outbox[str]) -> None:
    reading = asyncio.ensure_future(rest(outbox))
    await asyncio.wait({reading}, timeout=0)
    outbox.close()
    assert await reading == []


async def test_an_error_comes_after_the_items_before_it(outbox: Outbox[str]) -> None:
    outbox.put("a", 1)
    outbox.close(EngineFault("broken"))
    batches = outbox.batches()
    assert await anext(batches) == ["a"]
    with pytest.raises(EngineFault, match="broken"):
        await anext(batches)


async def test_the_first_end_counts(outbox: Outbox[str]) -> None:
    """An error after a regular end, or the other way round, changes nothing."""
    outbox.close()
    outbox.close(EngineFault("late"))
    assert await rest(outbox) == []


async def test_nothing_can_be_put_after_the_end(outbox: Outbox[str]) -> None:
    outbox.close()
    assert outbox.is_closed
    assert not outbox.put("a", 1)
    assert await rest(outbox) == []


async def test_as_many_bytes_as_allowed_may_wait(outbox: Outbox[str]) -> None:
    assert outbox.put("a", 10)
    outbox.close()
    assert await rest(outbox) == [["a"]]


async def test_a_reader_that_lets_too_many_bytes_gather_is_told(outbox: Outbox[str]) -> None:
    """What waited is dropped: the stream is over, and memory is given back at once."""
    assert outbox.put("a", 10)
    assert not outbox.put("b", 1)
    assert outbox.is_closed
    with pytest.raises(Overloaded, match="11 bytes") as caught:
        await rest(outbox)
    assert caught.value.reason == "CLIENT_TOO_SLOW"


async def test_bytes_that_left_no_longer_count(outbox: Outbox[str]) -> None:
    batches = outbox.batches()
    for _ in range(3):
        assert outbox.put("a", 10)
        assert await anext(batches) == ["a"]


async def test_a_reader_that_lets_items_wait_too_long_is_told(
    outbox: Outbox[str], clock: Clock
) -> None:
    outbox.put("a", 1)
    clock.now += 30.0
    assert outbox.put("b", 1)
    clock.now += 0.1
    assert not outbox.put("c", 1)
    with pytest.raises(Overloaded, match="30 s"):
        await rest(outbox)


async def test_waiting_is_counted_from_the_oldest_item_that_waits(
    outbox: Outbox[str], clock: Clock
) -> None:
    outbox.put("a", 1)
    batches = outbox.batches()
    await anext(batches)
    clock.now += 1000.0
    assert outbox.put("b", 1)
    clock.now += 29.0
    assert outbox.put("c", 1)


async def test_a_waiting_reader_is_woken_by_its_own_slowness(outbox: Outbox[str]) -> None:
    outbox.put("a", 10)
    batches = outbox.batches()
    assert await anext(batches) == ["a"]
    reading = asyncio.ensure_future(anext(batches))
    await asyncio.wait({reading}, timeout=0)
    outbox.put("b", 11)
    with pytest.raises(Overloaded):
        await reading
