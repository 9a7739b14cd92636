"""Blocks of KV cache, counted. Only this file changes which block is free.

    ids 1 … total:  [ free, in FIFO order | used ]      0 ≤ reserved ≤ free

A reservation promises free blocks without naming them, so that a request that was admitted never
waits for a block. Block 0 exists on the device and belongs to nobody: policies may write padding
there. Who holds which block is the policies' affair.
"""

from collections import deque
from collections.abc import Iterable

from engine_svc.core.params import BlockId


class BlockPool:
    """The free list and its promises.

    Args:
        num_blocks: blocks 1 to num_blocks exist.
    """

    def __init__(self, num_blocks: int) -> None:
        self._num_blocks = num_blocks
        self._free = deque(BlockId(i) for i in range(1, num_blocks + 1))
        self._used: set[BlockId] = set()
        self._num_reserved = 0

    @property
    def num_blocks(self) -> int:
        """Blocks in all."""
        return self._num_blocks

    @property
    def num_free(self) -> int:
        """Blocks that nobody holds, promised ones included."""
        return len(self._free)

    @property
    def num_used(self) -> int:
        """Blocks that somebody holds."""
        return len(self._used)

    @property
    def num_reserved(self) -> int:
        """Free blocks that are promised."""
        return self._num_reserved

    @property
    def num_available(self) -> int:
        """Free blocks that are not promised."""
        return len(self._free) - self._num_reserved

    def reserve(self, count: int) -> bool:
        """Promise `count` free blocks; False, and nothing changes, if there are too few."""
        if count > self.num_available:
            return False
        self._num_reserved += count
        return True

    def cancel_reservation(self, count: int) -> None:
        """Take back a promise of `count` blocks."""
        self._num_reserved -= count

    def allocate_reserved(self, count: int) -> list[BlockId]:
        """Hand out `count` promised blocks, longest free first."""
        self._num_reserved -= count
        blocks = [self._free.popleft() for _ in range(count)]
        self._used.update(blocks)
        return blocks

    def free(self, blocks: Iterable[BlockId]) -> None:
        """Take blocks back. Each must be held."""
        for block in blocks:
            self._used.remove(block)
            self._free.append(block)

    def check_integrity(self) -> None:
        """Raise AssertionError unless every block is free or used, once, and promises hold."""
        assert len(self._free) + len(self._used) == self._num_blocks  # noqa: S101 - our own fact
        assert 0 <= self._num_reserved <= len(self._free)  # noqa: S101 - likewise


def blocks_for(num_tokens: int, block_size: int) -> int:
    """Blocks that hold `num_tokens` positions."""
    return -(-num_tokens // block_size)
