"""Continuous batching: decodes and prompt chunks share each step, up to a token budget.

Decodes go first, so a long prompt never delays a running answer by more than its share of the
budget. Requests start in order of arrival; the head of the queue waits until its whole
prompt + max_tokens has blocks, so a running request never runs out of them.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace

from engine_svc.core.kv_cache.block_pool import BlockPool, blocks_for
from engine_svc.core.kv_cache.slots import slots_for
from engine_svc.core.outputs import (
    Layout,
    Ragged,
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
from engine_svc.core.scheduler.base import (
    Bounds,
    Capacity,
    Fits,
    Later,
    Never,
    SchedulerConfig,
)
from engine_svc.core.scheduler.budget import TokenBudget
from engine_svc.core.scheduler.ledger import Ledger
from engine_svc.core.scheduler.limits import beyond_context, load_of
from engine_svc.core.scheduler.sequences import scheduled

DEFAULT_BLOCK_SIZE = 16


class ContinuousScheduler:
    """The `continuous` policy; see `scheduler.base.Scheduler`."""

    def __init__(self, config: SchedulerConfig) -> None:
        self._config = config
        self._pool = BlockPool(config.num_blocks)
        self._ledger = Ledger(max_model_len=config.max_model_len, release=self._release)
        self._running: dict[RequestId, Request] = {}
        self._step = 0

    @classmethod
    def settle(cls, wanted: Bounds) -> Bounds:
        """Any bounds do."""
        return replace(wanted, block_size=wanted.block_size or DEFAULT_BLOCK_SIZE)

    @property
    def layouts(self) -> frozenset[type[Layout]]:
        """Ragged alone."""
        return frozenset({Ragged})

    @property
    def has_requests(self) -> bool:
        """Whether there is anything to do."""
        return bool(len(self._ledger))

    def capacity(self, spec: RequestSpec) -> Capacity:
        """Whether a request like this has room: length first, then blocks."""
        if (reason := beyond_context(spec, self._config.max_model_len)) is not None:
            return Never(reason)
        needed = self._blocks_needed(spec)
        if needed > self._pool.num_blocks:
            return Never(f"needs {needed} KV blocks; there are {self._pool.num_blocks}")
        has_room = needed <= self._pool.num_available and self._has_free_seat()
        return Fits() if has_room and not len(self._ledger.waiting) else Later()

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
        """Fill the step's budget: decodes, then chunks of running prompts, then new requests."""
        budget = TokenBudget(self._config.max_num_batched_tokens)
        sequences = [
            self._scheduled(request, budget.take(request.num_uncomputed_tokens))
            for request in self._in_turn(now, budget)
        ]
        if not sequences:
            return None
        self._step += 1
        return SchedulerOutput(
            step=self._step,
            sequences=tuple(sequences),
            layout=Ragged(),
            finished_request_ids=self._ledger.take_ended(),
        )

    def update_from_output(
        self, step: SchedulerOutput, result: RunnerOutput, now: float
    ) -> tuple[RequestOutput, ...]:
        """Append the step's tokens, end what is done, free its blocks."""
        return self._ledger.close(step, result, now)

    def load(self) -> SchedulerLoad:
        """How busy it is."""
        return load_of(self._ledger.waiting, self._pool, num_running=len(self._running))

    def snapshot(self) -> SchedulerSnapshot:
        """All that it holds."""
        return SchedulerSnapshot(
            waiting=tuple(request.request_id for request in self._ledger.waiting),
            running=tuple(self._running),
            num_used_blocks=self._pool.num_used,
            num_reserved_blocks=self._pool.num_reserved,
            block_tables={r.request_id: r.block_table for r in self._running.values()},
            block_refs=dict(self._pool.refs),
        )

    def check_integrity(self) -> None:
        """Raise AssertionError unless every request is in one place and every block in one."""
        self._pool.check_integrity()
        held = sum(len(r.block_table) for r in self._running.values())
        promised = sum(r.num_reserved_blocks for r in self._running.values())
        assert held == self._pool.num_used  # noqa: S101 - our own fact
        assert promised == self._pool.num_reserved  # noqa: S101 - likewise
        assert len(self._running) + len(self._ledger.waiting) == len(self._ledger)  # noqa: S101

    def _in_turn(self, now: float, budget: TokenBudget) -> Iterator[Request]:
        """Whoever is next for tokens, while there are any; admits only when asked that far."""
        running = list(self._running.values())
        for decoding in (True, False):
            for request in running:
                if request.is_decoding is decoding and budget.left:
                    yield request
        while budget.left and (admitted := self._admit(now)) is not None:
            yield admitted

    def _admit(self, now: float) -> Request | None:
        """Start the head of the queue if it has a seat and all its blocks; nobody overtakes."""
        request = self._ledger.waiting.peek()
        if request is None or not self._has_free_seat():
            return None
        needed = self._blocks_needed(request.spec)
        if not self._pool.reserve(needed):
            return None
        self._ledger.start(request, now)
        request.num_reserved_blocks = needed
        self._running[request.request_id] = request
        return request

    def _scheduled(self, request: Request, count: int) -> ScheduledSequence:
        first = request.num_computed_tokens
        end = first + count
        self._grow(request, end)
        slots = slots_for(request.block_table, first, end, self._config.block_size)
        return scheduled(request, end, slots)

    def _grow(self, request: Request, num_tokens: int) -> None:
        """Take promised blocks until the table covers `num_tokens` positions."""
        missing = blocks_for(num_tokens, self._config.block_size) - len(request.block_table)
        if missing > 0:
            request.block_table += tuple(self._pool.allocate_reserved(missing))
            request.num_reserved_blocks -= missing

    def _release(self, request: Request) -> None:
        """Forget a request that ran and take back its blocks."""
        del self._running[request.request_id]
        self._pool.cancel_reservation(request.num_reserved_blocks)
        self._pool.free(request.block_table)

    def _has_free_seat(self) -> bool:
        return len(self._running) < self._config.max_num_seqs

    def _blocks_needed(self, spec: RequestSpec) -> int:
        # The last token is never computed: it ends the request.
        return blocks_for(spec.max_num_tokens - 1, self._config.block_size)
