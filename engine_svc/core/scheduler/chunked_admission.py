"""Who starts next under `spyre_chunked`: the order of the queue, then blocks, then volume.

Nobody overtakes for lack of blocks. Who is refused for the volume is passed over, by equals only
and only so often. Source: sendnn-inference's chunked-prefill scheduler, its scan of the queue.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from engine_svc.core.batching import OverLimit
from engine_svc.core.geometry.blocks import BLOCK_SIZE, num_blocks
from engine_svc.core.geometry.chunks import ChunkPlan
from engine_svc.core.geometry.volume import AlignedRow, look_ahead_fits
from engine_svc.core.kv_cache.prefix_cache import PrefixCache
from engine_svc.core.params import BlockId
from engine_svc.core.request import Request
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core.scheduler.base import SchedulerConfig
from engine_svc.core.scheduler.queue import WaitingQueue
from engine_svc.core.scheduler.spyre_limits import max_batch_tkv

MAX_OVERTAKEN = 64
"""How often a request is passed over for one behind it whose volume fits; then all wait for it."""
MAX_CHECKED_ROWS = 256
"""Rows times requests that are looked at for their volume in one step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """How a waiting request would start."""

    request: Request
    plan: ChunkPlan
    hits: tuple[BlockId, ...]
    num_new_blocks: int
    """Blocks to promise: all but the hits that somebody holds."""


class Admissions:
    """Chooses from the queue; changes nothing but how often somebody was overtaken.

    Args:
        config: the policy's bounds.
        cache: of the policy.
    """

    def __init__(self, config: SchedulerConfig, cache: PrefixCache) -> None:
        self._options = config.options
        self._chunk_len = config.max_num_batched_tokens
        self._max_batch_tkv = max_batch_tkv(config)
        self._cache = cache

    def choose(
        self, waiting: WaitingQueue, others: Sequence[AlignedRow], *, tkv: int
    ) -> Admission | None:
        """The first who may start beside `others`; None if nobody may.

        Args:
            waiting: the queue.
            others: the rows that decode.
            tkv: of the last step.
        """
        passed_over: list[Request] = []
        for request in islice(waiting, _num_looked_at(len(others))):
            if not _are_equals(request, passed_over) or self._lacks_blocks(request):
                return None
            if (admission := self._joining(request, others, tkv)) is not None:
                for earlier in passed_over:
                    earlier.num_overtaken += 1
                return admission
            if request.num_overtaken >= MAX_OVERTAKEN:
                return None
            passed_over.append(request)
        return None

    def has_volume(self, spec: RequestSpec, others: Sequence[AlignedRow], *, tkv: int) -> bool:
        """Whether rows * tkv can stay within the limit for ever, if nobody is left out."""
        if self._options.over_limit is OverLimit.PAUSE or not others:
            return True
        return look_ahead_fits(
            AlignedRow(spec.num_prefill_tokens, spec.num_new_tokens - 1),
            others,
            tkv=tkv,
            limit=self._max_batch_tkv,
            min_rows=self._options.min_decode_rows,
        )

    def _lacks_blocks(self, request: Request) -> bool:
        """Whether its blocks cannot be promised now; looks into the cache only where it matters."""
        num_available = self._cache.pool.num_available
        most = num_blocks(request.spec.max_num_tokens)
        if most <= num_available:
            return False
        most_hits = (request.spec.num_prefill_tokens - 1) // BLOCK_SIZE
        if most - most_hits > num_available:
            return True
        return self._admission(request).num_new_blocks > num_available

    def _joining(
        self, request: Request, others: Sequence[AlignedRow], tkv: int
    ) -> Admission | None:
        """How a request with blocks would start; None if the volume refuses it."""
        spec = request.spec
        is_checked = not self._options.interleave or spec.num_prefill_tokens <= self._chunk_len
        if is_checked and not self.has_volume(spec, others, tkv=tkv):
            return None
        admission = self._admission(request)
        plan = admission.plan
        if is_checked or not plan.is_last(plan.first_chunk):
            return admission
        return admission if self.has_volume(spec, others, tkv=tkv) else None

    def _admission(self, request: Request) -> Admission:
        hits, held = self._cache.find(request), self._cache.pool.refs
        return Admission(
            request=request,
            plan=ChunkPlan(
                prompt_len=request.spec.num_prefill_tokens,
                chunk_len=self._chunk_len,
                num_hit_blocks=len(hits),
            ),
            hits=hits,
            num_new_blocks=num_blocks(request.spec.max_num_tokens)
            - sum(block in held for block in hits),
        )


def _are_equals(request: Request, passed_over: Sequence[Request]) -> bool:
    """Whether it may go before them: nobody of a lower priority does."""
    return not passed_over or passed_over[0].spec.priority == request.spec.priority


def _num_looked_at(num_decoding: int) -> int:
    """How far a scan of the queue goes: it costs the same however many decode or wait."""
    return max(1, min(MAX_OVERTAKEN + 1, MAX_CHECKED_ROWS // max(1, num_decoding)))
