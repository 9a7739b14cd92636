"""A second holder of the same tokens: nothing is computed again, and nothing shared is written."""

from engine_svc.core.kv_cache.block_pool import BlockPool
from engine_svc.core.kv_cache.fork import fork_reserved, num_promised
from engine_svc.core.params import BlockId

SIZE = 4


def held(pool: BlockPool, count: int) -> tuple[BlockId, ...]:
    """Blocks of a first holder."""
    assert pool.reserve(count)
    return tuple(pool.allocate_reserved(count))


def test_full_blocks_are_shared_and_a_begun_one_is_copied() -> None:
    """The source has a hold of its own until the copy is done."""
    pool = BlockPool(5)
    blocks = held(pool, 3)
    count = num_promised(pool, blocks, num_tokens=10, block_size=SIZE)
    assert count == 1
    assert pool.reserve(count)
    fork = fork_reserved(pool, blocks, num_tokens=10, block_size=SIZE)
    assert fork.block_table == (1, 2, 4)
    assert (fork.copy, fork.num_taken) == ((3, 4), 1)
    assert dict(pool.refs) == {1: 2, 2: 2, 3: 2, 4: 1}
    pool.check_integrity()


def test_nothing_is_copied_where_a_block_ends() -> None:
    """Both go on in blocks of their own."""
    pool = BlockPool(3)
    blocks = held(pool, 2)
    assert num_promised(pool, blocks, num_tokens=8, block_size=SIZE) == 0
    fork = fork_reserved(pool, blocks, num_tokens=8, block_size=SIZE)
    assert (fork.block_table, fork.copy, fork.num_taken) == ((1, 2), None, 0)


def test_a_second_fork_shares_what_the_first_one_shares() -> None:
    """Three beams of ten tokens: two blocks for all, one for each."""
    pool = BlockPool(8)
    blocks = held(pool, 3)
    for _ in range(2):
        assert pool.reserve(1)
        fork = fork_reserved(pool, blocks, num_tokens=10, block_size=SIZE)
        assert fork.copy is not None
        pool.free((fork.copy[0],))
    assert (pool.num_used, pool.refs[blocks[0]], pool.refs[blocks[2]]) == (5, 3, 1)


def test_a_cached_source_cannot_be_handed_out_while_it_is_copied() -> None:
    """It is held although nobody's table names it; afterwards it is cached again."""
    pool = BlockPool(4)
    blocks = held(pool, 2)
    for block in blocks:
        pool.keep(block)
    pool.free(blocks)
    count = num_promised(pool, blocks, num_tokens=7, block_size=SIZE)
    assert count == 3
    assert pool.reserve(count)
    fork = fork_reserved(pool, blocks, num_tokens=7, block_size=SIZE)
    assert fork.copy == (2, 3)
    assert pool.num_reserved == 0
    assert held(pool, 1) == (4,)
    assert not pool.reserve(1)
    pool.free((BlockId(2),))
    assert (pool.num_cached, pool.num_available) == (1, 1)
    pool.check_integrity()
