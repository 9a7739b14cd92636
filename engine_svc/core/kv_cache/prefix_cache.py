"""Requests and the blocks of earlier ones: what they can take over, what they leave behind."""

from engine_svc.core.kv_cache.block_pool import BlockPool
from engine_svc.core.kv_cache.prefix_index import PrefixIndex, extend_keys
from engine_svc.core.params import BlockId
from engine_svc.core.request import Request


class PrefixCache:
    """A block pool whose full blocks can be found by their tokens.

    Args:
        num_blocks: of the pool.
        block_size: positions per block.
        is_on: off = nothing is ever found.
    """

    def __init__(self, num_blocks: int, block_size: int, *, is_on: bool) -> None:
        self._block_size = block_size
        self._is_on = is_on
        self._index = PrefixIndex()
        self.pool = BlockPool(num_blocks, self._index.forget)

    def find(self, request: Request) -> tuple[BlockId, ...]:
        """The blocks that hold a request's first tokens; its last token is never among them."""
        if not self._is_on:
            return ()
        extend_keys(request.block_keys, request.token_ids, self._block_size)
        return self._index.find(
            request.block_keys[: (len(request.token_ids) - 1) // self._block_size]
        )

    def publish(self, request: Request, *, first: int, end: int) -> None:
        """Let others find blocks `first` to `end` - 1 of a request's table.

        They must be full and computed: whatever is found is trusted.
        """
        if not self._is_on:
            return
        extend_keys(request.block_keys, request.token_ids, self._block_size)
        for idx in range(first, end):
            self._index.publish(request.block_table[idx], request.block_keys[idx])
            self.pool.keep(request.block_table[idx])

    def withdraw(self, request: Request, *, first: int, end: int) -> None:
        """Let nobody find blocks `first` to `end` - 1 of a request's table any longer."""
        if not self._is_on:
            return
        for block in request.block_table[first:end]:
            self._index.forget(block)
            self.pool.unkeep(block)
