"""Requests and the blocks of earlier ones: what they can take over, what they leave behind."""

from engine_svc.core.kv_cache.block_pool import BlockPool
from engine_svc.core.kv_cache.prefix_index import Digest, PrefixIndex, blake2b_digest
from engine_svc.core.params import BlockId
from engine_svc.core.request import Request


class PrefixCache:
    """A block pool whose full blocks can be found by their tokens, within one cache salt.

    Args:
        num_blocks: of the pool.
        block_size: positions per block.
        is_on: off = nothing is ever found.
        digest: see `PrefixIndex`.
    """

    def __init__(
        self, num_blocks: int, block_size: int, *, is_on: bool, digest: Digest = blake2b_digest
    ) -> None:
        self._block_size = block_size
        self._is_on = is_on
        self._index = PrefixIndex(digest)
        self.pool = BlockPool(num_blocks, self._index.forget)

    def find(self, request: Request) -> tuple[BlockId, ...]:
        """The blocks that hold a request's first tokens; its last token is never among them."""
        return self.find_all(request)[: (len(request.token_ids) - 1) // self._block_size]

    def find_all(self, request: Request) -> tuple[BlockId, ...]:
        """The blocks that hold a request's first tokens, if need be all of them."""
        if not self._is_on:
            return ()
        self._extend_keys(request)
        return self._index.find(request.block_keys)

    def publish(self, request: Request, *, first: int, end: int) -> None:
        """Let others find blocks `first` to `end` - 1 of a request's table.

        They must be full and computed: whatever is found is trusted.
        """
        if not self._is_on:
            return
        self._extend_keys(request)
        for idx in range(first, end):
            self._index.publish(request.block_table[idx], request.block_keys[idx])
            self.pool.keep(request.block_table[idx])

    def withdraw(self, request: Request, *, first: int) -> None:
        """Let nobody find what a request has in block `first` and those after it any longer.

        Neither in the blocks that it holds nor in those that it gave back, nor in equal ones.
        """
        for key in request.block_keys[first:]:
            for block in self._index.blocks_of(key):
                self._index.forget(block)
                self.pool.unkeep(block)

    def _extend_keys(self, request: Request) -> None:
        self._index.extend_keys(
            request.block_keys,
            request.token_ids,
            self._block_size,
            scope=request.spec.cache_salt.encode(),
        )
