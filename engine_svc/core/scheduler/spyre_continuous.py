"""Continuous batching with whole prompts: a prompt is computed alone, then joins at one tkv.

All rows decode together and share one tkv. The head of the queue joins when seat, context, blocks
and volume allow it for its whole max_tokens, so a running request never meets a limit; nobody
overtakes it. Source: vllm-spyre's continuous batching, variants A (`wait`: 0.7) and C (`shift`:
1.3 to 1.10), with C's volume check in both.
"""

from collections.abc import Collection
from dataclasses import dataclass

from engine_svc.core.batching import Join
from engine_svc.core.geometry.blocks import BLOCK_SIZE, num_blocks
from engine_svc.core.geometry.shared_tkv import Seat, common_cut, first_tkv, tkv_with
from engine_svc.core.geometry.volume import peak_volume
from engine_svc.core.kv_cache.block_pool import BlockPool
from engine_svc.core.kv_cache.slots import slots_for
from engine_svc.core.outputs import (
    Layout,
    PaddedPaged,
    RequestOutput,
    RunnerOutput,
    ScheduledSequence,
    SchedulerLoad,
    SchedulerOutput,
    SchedulerSnapshot,
)
from engine_svc.core.params import RequestId
from engine_svc.core.request import Request
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core.scheduler.base import Bounds, Capacity, Fits, Later, Never, SchedulerConfig
from engine_svc.core.scheduler.ledger import Ledger
from engine_svc.core.scheduler.limits import beyond_context, load_of
from engine_svc.core.scheduler.sequences import scheduled
from engine_svc.core.scheduler.spyre_limits import (
    MAX_PROMPTS_IN_A_ROW,
    check_room,
    max_batch_tkv,
    settle_spyre,
)


@dataclass(slots=True, kw_only=True)
class _Row:
    request: Request
    left_pad: int
    """Positions in front of it in the batch; changes by whole blocks only."""

    @property
    def block_offset(self) -> int:
        return Seat(prompt_len=0, tkv=self.left_pad).block_offset


class SpyreContinuousScheduler:
    """The `spyre_continuous` policy; see `scheduler.base.Scheduler`."""

    def __init__(self, config: SchedulerConfig) -> None:
        check_room(config)
        self._config = config
        self._max_batch_tkv = max_batch_tkv(config)
        self._min_rows = config.options.min_decode_rows
        self._pool = BlockPool(config.num_blocks)
        self._ledger = Ledger(max_model_len=config.max_model_len, release=self._release)
        self._rows: list[_Row] = []
        """The newest first."""
        self._leaving: list[Request] = []
        """Ended; their blocks come back when the next step has been decided."""
        self._tkv = 0
        self._num_prompts_in_row = 0
        self._step = 0

    @classmethod
    def settle(cls, wanted: Bounds) -> Bounds:
        """Blocks and context as the device wants them; see `SchedulerFactory.settle`."""
        return settle_spyre(wanted)

    @property
    def layouts(self) -> frozenset[type[Layout]]:
        """PaddedPaged alone."""
        return frozenset({PaddedPaged})

    @property
    def has_requests(self) -> bool:
        """Whether there is anything to do: requests to run, or blocks to take back."""
        return len(self._ledger) > 0 or len(self._leaving) > 0

    def capacity(self, spec: RequestSpec) -> Capacity:
        """Whether a request like this has room, alone and as things are."""
        if reason := beyond_context(spec, self._config.max_model_len) or self._misfit(spec):
            return Never(reason)
        can_join = not len(self._ledger.waiting) and self._can_join(spec)
        return Fits() if can_join else Later()

    def add_request(self, spec: RequestSpec, now: float) -> None:
        """Put a request at the end of the queue."""
        self._ledger.add(spec, now)

    def abort_requests(self, request_ids: Collection[RequestId]) -> tuple[RequestId, ...]:
        """End requests in any state; what they hold comes back with the next step."""
        return self._ledger.abort(tuple(request_ids))

    def expire(self, now: float) -> tuple[RequestOutput, ...]:
        """End the requests whose time is over."""
        return self._ledger.expire(now)

    def schedule(self, now: float) -> SchedulerOutput | None:
        """A prompt alone, if the head of the queue can join; else a decode of all rows."""
        head = self._ledger.waiting.peek()
        # Decided before the blocks of ended requests are back: so does the reference.
        can_join = head is not None and not self._must_decode() and self._can_join(head.spec)
        self._take_back_blocks()
        if head is not None and can_join:
            return self._prefill(head, now)
        if self._rows:
            return self._decode()
        self._tkv = 0
        return None

    def update_from_output(
        self, step: SchedulerOutput, result: RunnerOutput, now: float
    ) -> tuple[RequestOutput, ...]:
        """Append the step's tokens and end what is done."""
        return self._ledger.close(step, result, now)

    def load(self) -> SchedulerLoad:
        """How busy it is."""
        return load_of(self._ledger, self._pool, num_running=len(self._rows))

    def snapshot(self) -> SchedulerSnapshot:
        """All that it holds."""
        holders = [row.request for row in self._rows] + self._leaving
        return SchedulerSnapshot(
            waiting=tuple(request.request_id for request in self._ledger.waiting),
            running=tuple(row.request.request_id for row in self._rows),
            tkv=self._tkv,
            num_used_blocks=self._pool.num_used,
            num_reserved_blocks=self._pool.num_reserved,
            block_tables={r.request_id: r.block_table for r in holders},
            block_refs=dict(self._pool.refs),
        )

    def check_integrity(self) -> None:
        """Raise AssertionError unless every request is in one place and every block in one."""
        self._pool.check_integrity()
        holders = [row.request for row in self._rows] + self._leaving
        held = sum(len(request.block_table) for request in holders)
        promised = sum(request.num_reserved_blocks for request in holders)
        assert held == self._pool.num_used  # noqa: S101 - our own fact
        assert promised == self._pool.num_reserved  # noqa: S101 - likewise
        assert len(self._rows) + len(self._ledger.waiting) == len(self._ledger)  # noqa: S101

    def _misfit(self, spec: RequestSpec) -> str | None:
        """Why a request cannot even run alone; None if it can."""
        seat = Seat(prompt_len=spec.num_prefill_tokens, tkv=first_tkv(spec.num_prefill_tokens))
        tkv = seat.tkv + spec.num_new_tokens - 1
        if tkv > self._config.max_model_len:
            return (
                f"prompt of {spec.num_prefill_tokens} tokens, padded to {seat.tkv}, and max_tokens"
                f" {spec.num_new_tokens} exceed the context of {self._config.max_model_len}"
            )
        if tkv * self._min_rows > self._max_batch_tkv:
            return (
                f"comes to a KV length of {tkv} in {self._min_rows} rows; max_batch_tkv is"
                f" {self._max_batch_tkv}"
            )
        needed = seat.max_blocks(spec.num_new_tokens)
        if needed > self._pool.num_blocks:
            return f"needs {needed} KV blocks; there are {self._pool.num_blocks}"
        return None

    def _can_join(self, spec: RequestSpec) -> bool:
        """Whether a prompt may be computed now. Into an empty batch it always may."""
        if not self._rows:
            return True
        if len(self._rows) >= self._config.max_num_seqs:
            return False
        prompt_len = spec.num_prefill_tokens
        if prompt_len > self._tkv and self._config.options.join is Join.WAIT:
            return False
        seat = Seat(prompt_len=prompt_len, tkv=tkv_with(self._tkv, prompt_len))
        return (
            self._has_context(seat, spec)
            and seat.max_blocks(spec.num_new_tokens) <= self._pool.num_available
            and self._has_volume(seat, spec)
        )

    def _has_context(self, seat: Seat, spec: RequestSpec) -> bool:
        """Whether nobody comes to the end of the context, the shifted ones included."""
        room = self._config.max_model_len - seat.tkv
        if spec.num_new_tokens > room:
            return False
        if seat.tkv == self._tkv:
            return True
        return all(row.request.num_decodes_left + 1 <= room for row in self._rows)

    def _has_volume(self, seat: Seat, spec: RequestSpec) -> bool:
        """Whether rows * tkv stays within the limit until the prompt's last token."""
        lens = [seat.tkv + row.request.num_decodes_left for row in self._rows]
        new_len = seat.tkv + spec.num_new_tokens - 1
        peak = peak_volume(new_len, lens, min_rows=self._min_rows)
        lone = seat.lone_tkv(spec.num_new_tokens) * self._min_rows
        return max(peak, lone) <= self._max_batch_tkv

    def _must_decode(self) -> bool:
        """Whether those who decode have waited for prompts long enough."""
        return bool(self._rows) and self._num_prompts_in_row >= MAX_PROMPTS_IN_A_ROW

    def _prefill(self, request: Request, now: float) -> SchedulerOutput:
        prompt_len = request.spec.num_prefill_tokens
        if self._rows:
            self._cut_padding()
            self._shift(tkv_with(self._tkv, prompt_len) - self._tkv)
        else:
            self._tkv = first_tkv(prompt_len)
        seat = Seat(prompt_len=prompt_len, tkv=self._tkv)
        self._begin(request, seat, now)
        layout = PaddedPaged(
            tkv=self._tkv,
            left_pads=(seat.block_offset,),
            num_rows=1,
            query_len=seat.query_len,
            write_blocks=request.block_table,
        )
        return self._output((self._scheduled(self._rows[0]),), layout)

    def _begin(self, request: Request, seat: Seat, now: float) -> None:
        """Seat a request with all its blocks promised and those of its prompt held."""
        self._ledger.start(request, now)
        self._num_prompts_in_row += 1
        request.num_reserved_blocks = seat.max_blocks(request.spec.num_new_tokens)
        reserved = self._pool.reserve(request.num_reserved_blocks)
        assert reserved  # noqa: S101 - checked by _can_join, or by capacity for an empty batch
        row = _Row(request=request, left_pad=seat.left_pad)
        self._rows.insert(0, row)
        self._grow(row, seat.prompt_len)

    def _decode(self) -> SchedulerOutput:
        self._num_prompts_in_row = 0
        self._cut_padding()
        self._tkv += 1
        for row in self._rows:
            self._grow(row, len(row.request.token_ids))
        layout = PaddedPaged(
            tkv=self._tkv,
            left_pads=tuple(row.left_pad for row in self._rows),
            num_rows=max(self._min_rows, len(self._rows)),
            query_len=1,
        )
        return self._output(tuple(self._scheduled(row) for row in self._rows), layout)

    def _output(
        self, sequences: tuple[ScheduledSequence, ...], layout: PaddedPaged
    ) -> SchedulerOutput:
        self._step += 1
        return SchedulerOutput(
            step=self._step,
            sequences=sequences,
            layout=layout,
            finished_request_ids=self._ledger.take_ended(),
        )

    def _cut_padding(self) -> None:
        """Drop the blocks that are padding in every row: whoever needed them has left."""
        self._shift(-common_cut(row.left_pad for row in self._rows))

    def _shift(self, distance: int) -> None:
        """Move the whole batch; a multiple of the block size."""
        self._tkv += distance
        for row in self._rows:
            row.left_pad += distance

    def _grow(self, row: _Row, num_tokens: int) -> None:
        """Take promised blocks until the table covers `num_tokens` positions."""
        request = row.request
        missing = num_blocks(row.block_offset + num_tokens) - len(request.block_table)
        if missing > 0:
            request.block_table += tuple(self._pool.allocate_reserved(missing))
            request.num_reserved_blocks -= missing

    def _scheduled(self, row: _Row) -> ScheduledSequence:
        request = row.request
        first, end = request.num_computed_tokens, len(request.token_ids)
        offset = row.block_offset
        slots = slots_for(request.block_table, first, end, BLOCK_SIZE, block_offset=offset)
        return scheduled(request, end, slots, block_offset=offset)

    def _release(self, request: Request) -> None:
        self._rows = [row for row in self._rows if row.request is not request]
        self._leaving.append(request)

    def _take_back_blocks(self) -> None:
        for request in self._leaving:
            self._pool.cancel_reservation(request.num_reserved_blocks)
            self._pool.free(request.block_table)
        self._leaving.clear()
