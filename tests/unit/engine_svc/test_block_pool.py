"""Blocks are counted, promised and handed out in a defined order."""

import pytest

from engine_svc.core.kv_cache.block_pool import BlockPool, blocks_for
from engine_svc.core.kv_cache.slots import slots_for
from engine_svc.core.params import BlockId


def test_blocks_come_from_one_up_and_return_to_the_end() -> None:
    """Ids start at 1; the block that has been free for longest is next."""
    pool = BlockPool(3)
    assert pool.reserve(3)
    assert pool.allocate_reserved(2) == [1, 2]
    pool.free([BlockId(1)])
    assert pool.allocate_reserved(1) == [3]
    assert pool.reserve(1)
    assert pool.allocate_reserved(1) == [1]


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
