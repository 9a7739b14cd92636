"""A second holder of the same tokens: full blocks are shared, a begun one is copied on write.

    tokens   |  full  |  full  | begun…  |         source
    blocks   |   7    |   2    |   5     |         held by the caller until the copy is done
    fork     |   7    |   2    |   9     |         copy 5 → 9

What is shared is never written again, so both holders can go on from their last token.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from engine_svc.core.kv_cache.block_pool import BlockPool
from engine_svc.core.params import BlockId


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """The second holder's part."""

    block_table: tuple[BlockId, ...]
    num_taken: int
    """Promised blocks that it used up."""
    copy: tuple[BlockId, BlockId] | None
    """(from, to), to be done before anything is computed; `from` has one hold more until
    `BlockPool.free` takes it back, so that nobody writes to it in the same step."""


def fork_reserved(
    pool: BlockPool, blocks: Sequence[BlockId], *, num_tokens: int, block_size: int
) -> Fork:
    """Let one more hold the first `num_tokens` positions of `blocks`.

    Every block that is cached or copied to must have been promised, as `num_promised` counts them.

    Args:
        pool: of the blocks.
        blocks: used or cached; cover the positions.
        num_tokens: positions that are computed.
        block_size: positions per block.
    """
    num_full, num_begun = divmod(num_tokens, block_size)
    table = tuple(blocks[:num_full])
    num_taken = pool.share_reserved(table)
    if not num_begun:
        return Fork(block_table=table, num_taken=num_taken, copy=None)
    source = blocks[num_full]
    num_taken += pool.share_reserved((source,))
    (target,) = pool.allocate_reserved(1)
    return Fork(block_table=(*table, target), num_taken=num_taken + 1, copy=(source, target))


def num_promised(
    pool: BlockPool, blocks: Sequence[BlockId], *, num_tokens: int, block_size: int
) -> int:
    """Blocks to promise before `fork_reserved`: the cached ones, and one to copy to."""
    num_covered = -(-num_tokens // block_size)
    num_cached = sum(block not in pool.refs for block in blocks[:num_covered])
    return num_cached + (num_tokens % block_size > 0)
