"""Where tokens live: block tables to slots."""

from collections.abc import Sequence

from engine_svc.core.params import BlockId


def slots_for(
    block_table: Sequence[BlockId], first: int, end: int, block_size: int, *, block_offset: int = 0
) -> tuple[int, ...]:
    """The slots of positions first to end - 1: block * block_size + offset.

    Args:
        block_table: blocks in position order; covers position end - 1.
        first: first position.
        end: position after the last.
        block_size: positions per block.
        block_offset: slots of the first block that lie in front of position 0.
    """
    if end == first + 1:  # a decode; most calls are
        block, offset = divmod(first + block_offset, block_size)
        return (block_table[block] * block_size + offset,)
    return tuple(
        block_table[place // block_size] * block_size + place % block_size
        for place in range(first + block_offset, end + block_offset)
    )
