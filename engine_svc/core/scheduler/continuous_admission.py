"""How a waiting request starts under `continuous`: what is cached for it, what is promised to it.

A request starts when all its known tokens have blocks; more it gets as it grows. So that its start
does not take the next block from those that run, one block stays free for each of them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from engine_svc.core.kv_cache.block_pool import blocks_for
from engine_svc.core.kv_cache.fork import Fork, fork_reserved, num_promised
from engine_svc.core.kv_cache.prefix_cache import PrefixCache
from engine_svc.core.params import BlockId
from engine_svc.core.request import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How a request would start."""

    hits: tuple[BlockId, ...]
    """Cached blocks that cover the computed tokens."""
    num_computed_tokens: int
    """At least one less than it has: the last one must be computed to sample the next."""
    num_promised_blocks: int
    """Blocks that nobody holds and that it takes now or as its chunks come."""


class ContinuousAdmission:
    """Looks up what is cached for a request, counts what it needs, and hands it out.

    Args:
        cache: of the policy.
        block_size: positions per block.
    """

    def __init__(self, cache: PrefixCache, block_size: int) -> None:
        self._cache = cache
        self._pool = cache.pool
        self._block_size = block_size

    def start_of(self, request: Request, *, num_running: int) -> Start | None:
        """How a request can start beside `num_running` others; None if it lacks blocks."""
        num_spare = self._pool.num_available - num_running
        hits = self._cache.find_all(request)
        for num_cached in self._spared(request, hits):
            start = self._start(request, hits, num_cached)
            if start.num_promised_blocks <= num_spare:
                return start
        return None

    def would_start_without(
        self, victims: Sequence[Request], request: Request, *, num_running: int
    ) -> bool:
        """Whether a request could start beside `num_running` others if the victims held nothing."""
        held = Counter(chain.from_iterable(victim.block_table for victim in victims))
        given_back = {block for block, count in held.items() if self._pool.refs[block] == count}
        num_spare = self._pool.num_available - num_running + len(given_back)
        num_spare += sum(victim.num_reserved_blocks for victim in victims)
        hits = self._cache.find(request)
        num_shared = sum(block in self._pool.refs and block not in given_back for block in hits)
        return self._num_blocks(request) - num_shared <= num_spare

    def begin(self, request: Request, start: Start) -> Fork:
        """Give a request what its start promises; the copy is to be done with this step."""
        is_promised = self._pool.reserve(start.num_promised_blocks)
        assert is_promised  # noqa: S101 - counted when the start was found
        fork = fork_reserved(
            self._pool,
            start.hits,
            num_tokens=start.num_computed_tokens,
            block_size=self._block_size,
        )
        request.block_table = fork.block_table
        request.num_reserved_blocks = start.num_promised_blocks - fork.num_taken
        request.num_computed_tokens = start.num_computed_tokens
        request.num_published_blocks = start.num_computed_tokens // self._block_size
        return fork

    def _spared(self, request: Request, hits: Sequence[BlockId]) -> tuple[int, ...]:
        """How many tokens may count as computed, the best choice first."""
        num_known, num_hit = len(request.token_ids), len(hits) * self._block_size
        num_in_whole_blocks = (num_known - 1) // self._block_size * self._block_size
        if num_hit < num_known or self._block_size == 1:
            return (min(num_hit, num_in_whole_blocks),)
        # All is cached. Its last block is copied, if there is one to copy to, for one token's sake.
        return (num_known - 1, num_in_whole_blocks)

    def _start(self, request: Request, hits: Sequence[BlockId], num_cached: int) -> Start:
        covering = tuple(hits[: blocks_for(num_cached, self._block_size)])
        num_new = self._num_blocks(request) - len(covering)
        return Start(
            hits=covering,
            num_computed_tokens=num_cached,
            num_promised_blocks=num_new
            + num_promised(
                self._pool, covering, num_tokens=num_cached, block_size=self._block_size
            ),
        )

    def _num_blocks(self, request: Request) -> int:
        """Blocks of all its known tokens."""
        return blocks_for(len(request.token_ids), self._block_size)
