"""Blocks are counted, promised and handed out in a defined order."""

import pytest

from engine_svc.core.kv_cache.block_pool import BlockPool, blocks_for
from engine_svc.core.kv_cache.slots import slots_for
from engine_svc.core.params import BlockId


def allocated(pool: BlockPool, count: int) -> list[BlockId]:
    """Blocks, promised and handed out."""
    assert pool.reserve(count)
    return pool.allocate_reserved(count)


def test_blocks_come_from_one_up_and_a_returned_one_is_next() -> None:
    """Ids start at 1; what can never be found again is handed out first, in table order last."""
    pool = BlockPool(5)
    assert allocated(pool, 3) == [1, 2, 3]
    pool.free([BlockId(1), BlockId(2)])
    assert allocated(pool, 4) == [2, 1, 4, 5]


def test_a_block_worth_finding_is_cached_and_handed_out_last() -> None:
    """Free blocks go first, then the least recently used cached one, which is told."""
    evicted: list[BlockId] = []
    pool = BlockPool(4, evicted.append)
    blocks = allocated(pool, 3)
    for block in blocks[:2]:
        pool.keep(block)
    pool.free(blocks)
    assert (pool.num_free, pool.num_cached, pool.num_used) == (2, 2, 0)
    assert pool.num_available == 4
    assert allocated(pool, 3) == [3, 4, 2]
    assert evicted == [2]
    pool.check_integrity()
    pool.free([BlockId(2)])
    assert (pool.num_free, pool.num_cached) == (1, 1)


def test_a_shared_block_is_free_when_its_last_holder_gives_it_back() -> None:
    """Counted; a cached block leaves the cache and uses up its promise."""
    pool = BlockPool(3)
    first, second = allocated(pool, 2)
    pool.keep(first)
    assert pool.share_reserved([first]) == 0
    pool.free([first, second])
    assert dict(pool.refs) == {first: 1}
    pool.free([first])
    assert pool.num_cached == 1
    assert pool.reserve(1)
    assert pool.share_reserved([first]) == 1
    assert (pool.num_reserved, pool.num_cached, pool.num_available) == (0, 0, 2)
    pool.check_integrity()


def test_a_promise_takes_room_from_others_and_not_from_the_pool() -> None:
    """Reserved blocks stay free and are not available."""
    pool = BlockPool(4)
    assert pool.reserve(3)
    assert (pool.num_free, pool.num_reserved, pool.num_available) == (4, 3, 1)
    assert not pool.reserve(2)
    assert pool.num_reserved == 3
    pool.cancel_reservation(3)
    assert pool.reserve(4)


def test_a_block_that_nobody_holds_cannot_be_freed() -> None:
    """A double free is a fault of the program and is seen at once."""
    pool = BlockPool(2)
    with pytest.raises(KeyError):
        pool.free([BlockId(1)])


def test_integrity_notices_a_broken_promise() -> None:
    """More promised than free is impossible; the check says so."""
    pool = BlockPool(2)
    pool.cancel_reservation(1)
    with pytest.raises(AssertionError):
        pool.check_integrity()


@pytest.mark.parametrize(("tokens", "blocks"), [(0, 0), (1, 1), (4, 1), (5, 2)])
def test_blocks_cover_all_tokens(tokens: int, blocks: int) -> None:
    """Rounded up to whole blocks."""
    assert blocks_for(tokens, 4) == blocks


def test_slots_follow_the_block_table() -> None:
    """Position p lives in block table[p // size] at offset p % size."""
    assert slots_for([BlockId(7), BlockId(2)], 3, 6, 4) == (31, 8, 9)


def test_a_cached_block_that_is_not_worth_finding_any_longer_is_free() -> None:
    """And the next one to be handed out; a used one is free when it comes back."""
    pool = BlockPool(3)
    cached, used = allocated(pool, 2)
    for block in (cached, used):
        pool.keep(block)
    pool.free([cached])
    for block in (cached, used):
        pool.unkeep(block)
    assert (pool.num_free, pool.num_cached) == (2, 0)
    pool.free([used])
    assert (pool.num_free, pool.num_cached) == (3, 0)
    pool.check_integrity()
