"""Where tokens live: block tables to slots."""

from collections.abc import Sequence

from engine_svc.core.params import BlockId


def slots_for(
    block_table: Sequence[BlockId], first: int, end: int, block_size: int
) -> tuple[int, ...]:
    """The slots of positions first to end - 1: block * block_size + offset.

    Args:
        block_table: blocks in position order; covers position end - 1.
        first: first position.
        end: position after the last.
        block_size: positions per block.
    """
    return tuple(
        block_table[position // block_size] * block_size + position % block_size
        for position in range(first, end)
    )
