"""Continuous batching with chunks of one length: one prompt at a time, chunk by chunk, alone.

Decoding rows may have different lengths; whole blocks of padding bring them into one last block.
A request is admitted when all its blocks can be promised; blocks that the prefix cache finds and
somebody holds cost nothing. Either whoever would exceed rows * tkv is left out of a decode step, in
fair turns, or nobody joins who could come to exceed it. Source: sendnn-inference 2.x, its
chunked-prefill scheduler and runner.
"""

from collections.abc import Collection
from dataclasses import dataclass

from engine_svc.core.batching import OverLimit
from engine_svc.core.geometry.aligned_rows import AlignedRows, aligned, left_pads
from engine_svc.core.geometry.blocks import BLOCK_SIZE, num_blocks
from engine_svc.core.geometry.chunks import ChunkPlan
from engine_svc.core.geometry.turns import take_turns
from engine_svc.core.geometry.volume import AlignedRow
from engine_svc.core.kv_cache.prefix_cache import PrefixCache
from engine_svc.core.kv_cache.slots import slots_for
from engine_svc.core.outputs import (
    NO_SLOT,
    Layout,
    PaddedPaged,
    RequestOutput,
    RunnerOutput,
    ScheduledSequence,
    SchedulerLoad,
    SchedulerOutput,
    SchedulerSnapshot,
)
from engine_svc.core.params import BlockId, RequestId
from engine_svc.core.request import Request
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core.scheduler.base import Bounds, Capacity, Fits, Later, Never, SchedulerConfig
from engine_svc.core.scheduler.chunked_admission import Admission, Admissions
from engine_svc.core.scheduler.ledger import Ledger
from engine_svc.core.scheduler.limits import beyond_context, load_of
from engine_svc.core.scheduler.sequences import scheduled
from engine_svc.core.scheduler.spyre_limits import (
    MAX_PROMPTS_IN_A_ROW,
    check_chunk,
    check_room,
    max_batch_tkv,
    settle_spyre,
)


@dataclass(slots=True, kw_only=True)
class _Row:
    request: Request
    plan: ChunkPlan
    chunk: int
    """The next one to compute."""
    num_published: int
    """Blocks of its table that the prefix cache knows."""
    num_left_out: int = 0
    """Decode steps since its last turn."""

    @property
    def next_kv_len(self) -> int:
        return self.request.num_computed_tokens + 1

    @property
    def num_decoded(self) -> int:
        return self.request.num_decoded_tokens


class SpyreChunkedScheduler:
    """The `spyre_chunked` policy; see `scheduler.base.Scheduler`."""

    def __init__(self, config: SchedulerConfig) -> None:
        check_room(config)
        check_chunk(config.max_num_batched_tokens)
        self._config = config
        self._options = config.options
        self._max_batch_tkv = max_batch_tkv(config)
        self._cache = PrefixCache(
            config.num_blocks, BLOCK_SIZE, is_on=config.options.prefix_caching
        )
        self._pool = self._cache.pool
        self._admissions = Admissions(config, self._cache)
        self._ledger = Ledger(max_model_len=config.max_model_len, release=self._release)
        self._rows: dict[RequestId, _Row] = {}
        """All that run; each is also in one of the next three."""
        self._prefilling: _Row | None = None
        self._decoding: list[_Row] = []
        """The newest first; whoever was paused comes back at the end."""
        self._paused: list[_Row] = []
        self._tkv = 0
        self._was_prefill = False
        self._num_prompts_in_row = 0
        self._step = 0

    @classmethod
    def settle(cls, wanted: Bounds) -> Bounds:
        """Blocks, chunks and context as the device wants them; see `SchedulerFactory.settle`."""
        check_chunk(wanted.max_num_batched_tokens)
        return settle_spyre(wanted)

    @property
    def layouts(self) -> frozenset[type[Layout]]:
        """PaddedPaged alone."""
        return frozenset({PaddedPaged})

    @property
    def has_requests(self) -> bool:
        """Whether there is anything to do."""
        return len(self._ledger) > 0

    def capacity(self, spec: RequestSpec) -> Capacity:
        """Whether a request like this has room, alone and as things are."""
        if reason := beyond_context(spec, self._config.max_model_len) or self._misfit(spec):
            return Never(reason)
        is_idle = not (len(self._ledger.waiting) or self._prefilling or self._paused)
        has_room = (
            len(self._rows) < self._config.max_num_seqs
            and num_blocks(spec.max_num_tokens) <= self._pool.num_available
            and self._admissions.has_volume(spec, self._aligned_rows(), tkv=self._tkv)
        )
        return Fits() if is_idle and has_room else Later()

    def add_request(self, spec: RequestSpec, now: float) -> None:
        """Put a request at the end of the queue."""
        self._ledger.add(spec, now)

    def abort_requests(self, request_ids: Collection[RequestId]) -> tuple[RequestId, ...]:
        """End requests in any state and free what they hold."""
        return self._ledger.abort(tuple(request_ids))

    def expire(self, now: float) -> tuple[RequestOutput, ...]:
        """End the requests whose time is over."""
        return self._ledger.expire(now)

    def schedule(self, now: float) -> SchedulerOutput | None:
        """A chunk of the prompt that is on, or the first of a new one; else a decode."""
        row = self._prefilling
        if row is None and (chosen := self._next_to_start()) is not None:
            return self._chunk(self._begin(chosen, now))
        if row is not None and self._may_continue(row):
            return self._chunk(row)
        return self._decode()

    def update_from_output(
        self, step: SchedulerOutput, result: RunnerOutput, now: float
    ) -> tuple[RequestOutput, ...]:
        """Append the step's tokens, publish full blocks, end what is done."""
        for sequence in step.sequences:
            row = self._rows[sequence.request_id]
            if sequence.request_id in result.faults:
                self._withdraw(row)
            else:
                self._publish(row, sequence.next_position)
        return self._ledger.close(step, result, now)

    def load(self) -> SchedulerLoad:
        """How busy it is."""
        return load_of(self._ledger, self._pool, num_running=len(self._rows))

    def snapshot(self) -> SchedulerSnapshot:
        """All that it holds."""
        prefilling = [self._prefilling] if self._prefilling else []
        running = [*prefilling, *self._decoding]
        if not self._was_prefill:
            running = [*self._decoding, *prefilling]
        return SchedulerSnapshot(
            waiting=tuple(request.request_id for request in self._ledger.waiting),
            running=tuple(row.request.request_id for row in running),
            paused=tuple(row.request.request_id for row in self._paused),
            tkv=self._tkv,
            num_used_blocks=self._pool.num_used,
            num_reserved_blocks=self._pool.num_reserved,
            block_tables={r.request.request_id: r.request.block_table for r in self._rows.values()},
            block_refs=dict(self._pool.refs),
            num_reused_blocks=sum(row.plan.num_usable_blocks for row in self._rows.values()),
        )

    def check_integrity(self) -> None:
        """Raise AssertionError unless every request is in one place and every block in one."""
        self._pool.check_integrity()
        rows = self._rows.values()
        refs: dict[BlockId, int] = {}
        for row in rows:
            for block in row.request.block_table:
                refs[block] = refs.get(block, 0) + 1
        assert refs == dict(self._pool.refs)  # noqa: S101 - our own fact
        promised = sum(row.request.num_reserved_blocks for row in rows)
        assert promised == self._pool.num_reserved  # noqa: S101 - likewise
        assert len(rows) + len(self._ledger.waiting) == len(self._ledger)  # noqa: S101 - likewise

    def _misfit(self, spec: RequestSpec) -> str | None:
        """Why a request cannot even run alone; None if it can."""
        needed = num_blocks(spec.max_num_tokens)
        if needed > self._pool.num_blocks:
            return f"needs {needed} KV blocks; there are {self._pool.num_blocks}"
        tkv, rows = spec.max_num_tokens - 1, self._options.min_decode_rows
        if tkv * rows > self._max_batch_tkv:
            return (
                f"comes to a KV length of {tkv} in {rows} rows; max_batch_tkv is"
                f" {self._max_batch_tkv}"
            )
        return None

    def _next_to_start(self) -> Admission | None:
        """The waiting request that may start now; None if nobody may."""
        is_paused_long = self._num_prompts_in_row >= MAX_PROMPTS_IN_A_ROW
        if self._paused and (self._decoding or is_paused_long):
            return None
        if self._must_decode() or len(self._decoding) >= self._config.max_num_seqs:
            return None
        return self._admissions.choose(self._ledger.waiting, self._aligned_rows(), tkv=self._tkv)

    def _must_decode(self) -> bool:
        """Whether those who decode have waited for prompts long enough."""
        if not self._was_prefill or not self._decoding:
            return False
        return self._options.interleave or self._num_prompts_in_row >= MAX_PROMPTS_IN_A_ROW

    def _may_continue(self, row: _Row) -> bool:
        """Whether the next chunk of the prompt that is on may be computed now."""
        if self._paused:
            return False
        if not self._options.interleave:
            return True
        if self._must_decode():
            return False
        if not row.plan.is_last(row.chunk):
            return True
        return self._admissions.has_volume(row.request.spec, self._aligned_rows(), tkv=self._tkv)

    def _aligned_rows(self) -> list[AlignedRow]:
        return [
            AlignedRow(row.request.num_computed_tokens, row.request.num_decodes_left)
            for row in self._decoding
        ]

    def _begin(self, admission: Admission, now: float) -> _Row:
        """Start a prompt: all its blocks promised, the cached ones held."""
        request, plan = admission.request, admission.plan
        self._ledger.start(request, now)
        self._num_prompts_in_row += 1
        reserved = self._pool.reserve(admission.num_new_blocks)
        assert reserved  # noqa: S101 - checked when it was chosen
        num_taken = self._pool.share_reserved(admission.hits)
        request.num_reserved_blocks = admission.num_new_blocks - num_taken
        request.block_table = admission.hits
        request.num_computed_tokens = plan.start_of(plan.first_chunk)
        request.num_cached_tokens = min(request.num_computed_tokens, request.spec.num_prompt_tokens)
        row = _Row(
            request=request, plan=plan, chunk=plan.first_chunk, num_published=len(admission.hits)
        )
        self._rows[request.request_id] = self._prefilling = row
        return row

    def _chunk(self, row: _Row) -> SchedulerOutput:
        plan, chunk = row.plan, row.chunk
        self._was_prefill, self._tkv = True, plan.prompt_len
        self._grow(row.request, plan.held_after(chunk))
        row.chunk += 1
        if plan.is_last(chunk):
            self._prefilling = None
            self._decoding.insert(0, row)
        first, end = plan.start_of(chunk), plan.end_of(chunk)
        num_unwritten = plan.num_unwritten(chunk)
        table = row.request.block_table
        slots = slots_for(table, first + num_unwritten, end, BLOCK_SIZE)
        layout = PaddedPaged(
            tkv=(chunk + 1) * plan.chunk_len,
            left_pads=(plan.left_pad,),
            num_rows=1,
            query_len=plan.chunk_len,
            write_blocks=plan.write_blocks(chunk, table),
        )
        sequence = scheduled(row.request, end, (NO_SLOT,) * num_unwritten + slots)
        return self._output((sequence,), layout)

    def _decode(self) -> SchedulerOutput | None:
        self._was_prefill = False
        self._num_prompts_in_row = 0
        if self._options.over_limit is OverLimit.PAUSE:
            self._take_turns()
        kv_lens = [row.next_kv_len for row in self._decoding]
        self._tkv = aligned(kv_lens).tkv
        if not self._decoding:
            return None
        layout = PaddedPaged(
            tkv=self._tkv,
            left_pads=left_pads(kv_lens),
            num_rows=max(self._options.min_decode_rows, len(kv_lens)),
            query_len=1,
        )
        return self._output(tuple(self._decoded(row) for row in self._decoding), layout)

    def _decoded(self, row: _Row) -> ScheduledSequence:
        end = row.next_kv_len
        self._grow(row.request, end)
        slots = slots_for(row.request.block_table, end - 1, end, BLOCK_SIZE)
        return scheduled(row.request, end, slots)

    def _output(
        self, sequences: tuple[ScheduledSequence, ...], layout: PaddedPaged
    ) -> SchedulerOutput:
        self._step += 1
        return SchedulerOutput(
            step=self._step,
            sequences=sequences,
            layout=layout,
            finished_request_ids=self._ledger.take_ended(),
            paused_request_ids=tuple(row.request.request_id for row in self._paused),
        )

    def _take_turns(self) -> None:
        """Decide who decodes in this step."""
        turns = take_turns(
            self._paused, self._decoding, order=self._options.pause_order, fits=self._is_within
        )
        self._decoding, self._paused = turns.decoding, turns.paused
        for row in turns.decoding:
            row.num_left_out = 0
        for row in turns.paused:
            row.num_left_out += 1

    def _is_within(self, rows: AlignedRows) -> bool:
        num_rows = max(self._options.min_decode_rows, rows.num_rows)
        return num_rows * rows.tkv <= self._max_batch_tkv

    def _grow(self, request: Request, num_tokens: int) -> None:
        """Take promised blocks until the table covers `num_tokens` positions."""
        missing = num_blocks(num_tokens) - len(request.block_table)
        if missing > 0:
            request.block_table += tuple(self._pool.allocate_reserved(missing))
            request.num_reserved_blocks -= missing

    def _publish(self, row: _Row, num_computed: int) -> None:
        """Let others find the blocks that have become full; never one that is not computed."""
        num_full = num_computed // BLOCK_SIZE
        if num_full > row.num_published:
            self._cache.publish(row.request, first=row.num_published, end=num_full)
            row.num_published = num_full

    def _withdraw(self, row: _Row) -> None:
        """Let nobody find what a request computed that failed: it may be what is wrong."""
        self._cache.withdraw(row.request, first=row.plan.num_hit_blocks)

    def _release(self, request: Request) -> None:
        """Forget a request that ran and take back its blocks."""
        row = self._rows.pop(request.request_id)
        if self._prefilling is row:
            self._prefilling = None
        self._decoding = [other for other in self._decoding if other is not row]
        self._paused = [other for other in self._paused if other is not row]
        self._pool.cancel_reservation(request.num_reserved_blocks)
        self._pool.free(request.block_table)
