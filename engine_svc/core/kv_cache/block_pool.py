"""Blocks of KV cache, counted. Only this file changes which block is free.

    ids 1 … total:  [ free | cached, least recently used first | used, counted ]
                    0 ≤ reserved ≤ free + cached

A reservation promises blocks without naming them, so that a request that was admitted never waits
for a block. A cached block is held by nobody and still worth finding; it is handed out last. A
block that comes back without being worth finding is handed out first. Block 0 exists on the
device and belongs to nobody: policies may write padding there. Who holds which block is the
policies' affair.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from engine_svc.core.params import BlockId

OnEvict = Callable[[BlockId], None]


def _forget_nothing(_: BlockId) -> None:
    pass


class BlockPool:
    """The free list, its promises and who is counted.

    Args:
        num_blocks: blocks 1 to num_blocks exist.
        on_evict: told when a cached block is handed out for something else.
    """

    def __init__(self, num_blocks: int, on_evict: OnEvict = _forget_nothing) -> None:
        self._num_blocks = num_blocks
        self._on_evict = on_evict
        self._free = deque(BlockId(i) for i in range(1, num_blocks + 1))
        self._cached: OrderedDict[BlockId, None] = OrderedDict()
        self._refs: dict[BlockId, int] = {}
        self._worth_finding: set[BlockId] = set()
        self._num_reserved = 0

    @property
    def num_blocks(self) -> int:
        """Blocks in all."""
        return self._num_blocks

    @property
    def num_free(self) -> int:
        """Blocks that nobody holds and nobody can find, promised ones included."""
        return len(self._free)

    @property
    def num_cached(self) -> int:
        """Blocks that nobody holds and that can be found."""
        return len(self._cached)

    @property
    def num_used(self) -> int:
        """Blocks that somebody holds."""
        return len(self._refs)

    @property
    def num_reserved(self) -> int:
        """Blocks that are promised and that nobody holds yet."""
        return self._num_reserved

    @property
    def num_available(self) -> int:
        """Blocks that nobody holds and that are not promised."""
        return len(self._free) + len(self._cached) - self._num_reserved

    @property
    def refs(self) -> Mapping[BlockId, int]:
        """How many hold each used block."""
        return MappingProxyType(self._refs)

    def reserve(self, count: int) -> bool:
        """Promise `count` blocks; False, and nothing changes, if there are too few."""
        if count > self.num_available:
            return False
        self._num_reserved += count
        return True

    def cancel_reservation(self, count: int) -> None:
        """Take back a promise of `count` blocks."""
        self._num_reserved -= count

    def allocate_reserved(self, count: int) -> list[BlockId]:
        """Hand out `count` promised blocks: free ones, then the least recently used cached ones."""
        self._num_reserved -= count
        blocks = [self._free.popleft() if self._free else self._evict() for _ in range(count)]
        self._refs.update(dict.fromkeys(blocks, 1))
        return blocks

    def share_reserved(self, blocks: Sequence[BlockId]) -> int:
        """Let one more hold each of `blocks`, used or cached; tells how many were cached.

        Those must have been promised.
        """
        taken = [block for block in blocks if block in self._cached]
        for block in taken:
            del self._cached[block]
        for block in blocks:
            self._refs[block] = self._refs.get(block, 0) + 1
        self._num_reserved -= len(taken)
        return len(taken)

    def keep(self, block: BlockId) -> None:
        """Make a used block one that is cached when nobody holds it any longer."""
        self._worth_finding.add(block)

    def unkeep(self, block: BlockId) -> None:
        """Take back `keep`: a used block will be free, a cached one is free now."""
        self._worth_finding.remove(block)
        if block in self._cached:
            del self._cached[block]
            self._free.appendleft(block)

    def free(self, blocks: Sequence[BlockId]) -> None:
        """Take blocks back from one who holds them, the last one first.

        The start of a sequence is what others may share: it is handed out last.
        """
        freed = [block for block in reversed(blocks) if self._is_last_hold(block)]
        # The first of them becomes the head of the free list.
        self._free.extendleft(reversed([b for b in freed if b not in self._worth_finding]))
        self._cached.update(dict.fromkeys(b for b in freed if b in self._worth_finding))

    def check_integrity(self) -> None:
        """Raise AssertionError unless every block is in one place and the promises hold."""
        places: Iterable[BlockId] = (*self._free, *self._cached, *self._refs)
        assert len(set(places)) == self._num_blocks  # noqa: S101 - our own fact
        total = len(self._free) + len(self._cached) + len(self._refs)
        assert total == self._num_blocks  # noqa: S101 - likewise
        assert 0 <= self._num_reserved <= total - len(self._refs)  # noqa: S101 - likewise
        assert min(self._refs.values(), default=1) > 0  # noqa: S101 - likewise

    def _is_last_hold(self, block: BlockId) -> bool:
        self._refs[block] -= 1
        if self._refs[block]:
            return False
        del self._refs[block]
        return True

    def _evict(self) -> BlockId:
        block, _ = self._cached.popitem(last=False)
        self._worth_finding.remove(block)
        self._on_evict(block)
        return block


def blocks_for(num_tokens: int, block_size: int) -> int:
    """Blocks that hold `num_tokens` positions."""
    return -(-num_tokens // block_size)
