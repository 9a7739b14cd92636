"""Continuous batching: decodes and prompt chunks share each step, up to a token budget.

Decodes go first, so a long prompt never delays a running answer by more than its share of the
budget; then prompts, running and new ones, in turn: lower priority number, then order of arrival.

    waiting ── all known tokens have blocks, one stays free per running request ──→ running
       ↑                                                                               │
       └── preempted: blocks given back, all tokens to be computed again ──────────────┘

A running request takes a block when it grows into it. Where there is none, whoever of the running
is least deserving (highest priority number, then latest arrival) is preempted, if need be the one
that asked. To start, a request preempts those of worse priority, never its equals.

- The most deserving request never waits: every step computes some of it or ends something.
- A preempted request keeps its turn: nobody of its priority that came later starts before it.
- Between two preemptions of a request, it or somebody more deserving grew by a block (or somebody
  of better priority started). So it is preempted at most as often as there are blocks that they
  still grow by, and starts of better priorities.
- Better priorities may let worse ones wait for ever: there is no ageing.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import chain

from engine_svc.core.kv_cache.block_pool import blocks_for
from engine_svc.core.kv_cache.prefix_cache import PrefixCache
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
from engine_svc.core.params import BlockId, RequestId
from engine_svc.core.request import Request, RequestStatus
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core.scheduler.base import (
    Bounds,
    Capacity,
    Fits,
    Later,
    Never,
    SchedulerConfig,
)
from engine_svc.core.scheduler.continuous_admission import ContinuousAdmission, Start
from engine_svc.core.scheduler.ledger import Ledger
from engine_svc.core.scheduler.limits import beyond_context, load_of
from engine_svc.core.scheduler.running import RunningRequests
from engine_svc.core.scheduler.sequences import scheduled
from engine_svc.core.scheduler.shares import Shares

DEFAULT_BLOCK_SIZE = 16


class ContinuousScheduler:
    """The `continuous` policy; see `scheduler.base.Scheduler`."""

    def __init__(self, config: SchedulerConfig) -> None:
        self._config = config
        self._block_size = config.block_size
        self._cache = PrefixCache(
            config.num_blocks, config.block_size, is_on=config.options.prefix_caching
        )
        self._pool = self._cache.pool
        self._admission = ContinuousAdmission(self._cache, config.block_size)
        self._ledger = Ledger(max_model_len=config.max_model_len, release=self._release)
        self._running = RunningRequests()
        self._copies: list[tuple[BlockId, BlockId]] = []
        """Of the step that is being decided or run; their sources are held until it is closed."""
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
        # The last token is never computed: it ends the request.
        most = blocks_for(spec.max_num_tokens - 1, self._block_size)
        if most > self._pool.num_blocks:
            return Never(f"needs {most} KV blocks; there are {self._pool.num_blocks}")
        needed = blocks_for(spec.num_prefill_tokens, self._block_size) + len(self._running)
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

    def preempt(self, request_id: RequestId) -> None:
        """Let a running request wait again, in its turn; its full blocks can still be found."""
        self._ledger.preempt(self._ledger[request_id])

    def schedule(self, now: float) -> SchedulerOutput | None:
        """Fill the step's budget: decodes, then prompts in turn, running or new."""
        shares = Shares(self._config.max_num_batched_tokens)
        self._let_decode(shares)
        self._let_prefill(shares, now)
        sequences = tuple(self._scheduled(request, count) for request, count in shares)
        if not sequences:
            return None
        self._step += 1
        return SchedulerOutput(
            step=self._step,
            sequences=sequences,
            layout=Ragged(),
            block_copies=tuple(self._copies),
            finished_request_ids=self._ledger.take_ended(),
            preempted_request_ids=self._ledger.take_preempted(),
        )

    def update_from_output(
        self, step: SchedulerOutput, result: RunnerOutput, now: float
    ) -> tuple[RequestOutput, ...]:
        """Append the step's tokens, publish full blocks, end what is done."""
        self._pool.free([source for source, _ in self._copies])
        self._copies.clear()
        for sequence in step.sequences:
            request = self._ledger[sequence.request_id]
            if sequence.request_id in result.faults:
                # It may be what is wrong: nobody shall find what it computed.
                self._cache.withdraw(request, first=request.num_found_blocks)
            elif sequence.next_position // self._block_size > request.num_published_blocks:
                self._publish(request, sequence.next_position // self._block_size)
        return self._ledger.close(step, result, now)

    def load(self) -> SchedulerLoad:
        """How busy it is."""
        return load_of(self._ledger, self._pool, num_running=len(self._running))

    def snapshot(self) -> SchedulerSnapshot:
        """All that it holds."""
        return SchedulerSnapshot(
            waiting=tuple(request.request_id for request in self._ledger.waiting),
            running=tuple(request.request_id for request in self._running),
            num_used_blocks=self._pool.num_used,
            num_reserved_blocks=self._pool.num_reserved,
            block_tables={r.request_id: r.block_table for r in self._running},
            block_refs=dict(self._pool.refs),
        )

    def check_integrity(self) -> None:
        """Raise AssertionError unless every request is in one place and every block in one."""
        self._pool.check_integrity()
        held = chain.from_iterable(request.block_table for request in self._running)
        refs = Counter(chain(held, (source for source, _ in self._copies)))
        assert refs == self._pool.refs  # noqa: S101 - our own fact
        promised = sum(request.num_reserved_blocks for request in self._running)
        assert promised == self._pool.num_reserved  # noqa: S101 - likewise
        assert len(self._running) + len(self._ledger.waiting) == len(self._ledger)  # noqa: S101
        turns = [request.turn for request in self._running]
        assert turns == sorted(turns)  # noqa: S101 - likewise

    def _let_decode(self, shares: Shares) -> None:
        """Give whoever decodes its token, the most deserving first."""
        for request in [request for request in self._running if request.is_decoding]:
            if not shares.left:
                return
            # Within a block there is nothing to ask for.
            if request.num_computed_tokens % self._block_size or self._has_next_block(request):
                shares.give(request, 1)

    def _let_prefill(self, shares: Shares, now: float) -> None:
        """Give the rest to prompts."""
        for request in self._prompts(shares, now):
            shares.give(request, request.num_uncomputed_tokens)

    def _prompts(self, shares: Shares, now: float) -> Iterator[Request]:
        """Prompts in turn; starts new ones only when asked that far."""
        for request in [request for request in self._running if not request.is_decoding]:
            yield from self._started(shares, now, before=request)
            if shares.left and request.status is RequestStatus.RUNNING:
                yield request
        yield from self._started(shares, now, before=None)

    def _started(self, shares: Shares, now: float, *, before: Request | None) -> Iterator[Request]:
        """Start waiting requests that are more deserving than `before`; nobody overtakes."""
        while (head := self._ledger.waiting.peek()) is not None:
            if before is not None and before.turn < head.turn:
                return
            if not shares.left and not self._can_take_share(head, shares):
                return
            start = self._start_of(head) or self._start_by_priority(head, shares)
            if start is None or not shares.left:
                return
            self._begin(head, start, now)
            yield head

    def _can_take_share(self, request: Request, shares: Shares) -> bool:
        """Whether preempting somebody for a request would also let it compute something."""
        last = self._running.least_deserving
        return last.spec.priority > request.spec.priority and last in shares

    def _start_of(self, request: Request) -> Start | None:
        """How a request can start as things are; None if it lacks a seat or blocks."""
        if not self._has_free_seat():
            return None
        return self._admission.start_of(request, num_running=len(self._running))

    def _start_by_priority(self, request: Request, shares: Shares) -> Start | None:
        """Preempt requests of worse priority, as few as will do; none if all would not do."""
        victims = self._running.of_worse_priority(request.spec.priority)
        num_others = len(self._running) - len(victims)
        if not victims or not self._admission.would_start_without(
            victims, request, num_running=num_others
        ):
            return None
        start = None
        while start is None:
            victim = self._running.least_deserving
            shares.take_back(victim)
            self._ledger.preempt(victim)
            start = self._start_of(request)
        return start

    def _begin(self, request: Request, start: Start, now: float) -> None:
        self._ledger.start(request, now)
        fork = self._admission.begin(request, start)
        if fork.copy is not None:
            self._copies.append(fork.copy)
        if not request.has_run:
            num_cached = start.num_computed_tokens
            request.num_cached_tokens = min(num_cached, request.spec.num_prompt_tokens)
            request.num_found_blocks = request.num_published_blocks
        self._running.add(request)

    def _has_next_block(self, request: Request) -> bool:
        """Promise the block of a request's last token; False if it is preempted, now or before."""
        if request.num_reserved_blocks:
            return True
        while request.status is RequestStatus.RUNNING:
            if self._pool.reserve(1):
                request.num_reserved_blocks = 1
                return True
            self._ledger.preempt(self._running.least_deserving)
        return False

    def _scheduled(self, request: Request, count: int) -> ScheduledSequence:
        first = request.num_computed_tokens
        end = first + count
        if end > len(request.block_table) * self._block_size:
            self._take_blocks(request, end)
        slots = slots_for(request.block_table, first, end, self._block_size)
        return scheduled(request, end, slots)

    def _take_blocks(self, request: Request, num_tokens: int) -> None:
        """Take promised blocks until the table covers `num_tokens` positions."""
        missing = blocks_for(num_tokens, self._block_size) - len(request.block_table)
        request.block_table += tuple(self._pool.allocate_reserved(missing))
        request.num_reserved_blocks -= missing

    def _publish(self, request: Request, num_full: int) -> None:
        """Let others find the blocks that have become full; never one that is not computed."""
        self._cache.publish(request, first=request.num_published_blocks, end=num_full)
        request.num_published_blocks = num_full

    def _release(self, request: Request) -> None:
        """Forget a request that ran and take back its blocks."""
        self._running.remove(request)
        self._pool.cancel_reservation(request.num_reserved_blocks)
        self._pool.free(request.block_table)

    def _has_free_seat(self) -> bool:
        return len(self._running) < self._config.max_num_seqs
