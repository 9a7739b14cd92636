"""Continuous batching: decodes and prompt chunks share each step, up to a token budget.

Decodes go first, so a long prompt never delays a running answer by more than its share of the
budget. Requests start in order of arrival; the head of the queue waits until its whole
prompt + max_tokens has blocks, so a running request never runs out of them.
"""

from collections.abc import Collection, Iterator

from engine_svc.core.finish import banned_token_ids, ending_of
from engine_svc.core.kv_cache.block_pool import BlockPool, blocks_for
from engine_svc.core.kv_cache.slots import slots_for
from engine_svc.core.outputs import (
    Layout,
    Ragged,
    RequestOutput,
    RowFault,
    RunnerOutput,
    SampleSpec,
    ScheduledSequence,
    SchedulerLoad,
    SchedulerOutput,
)
from engine_svc.core.params import RequestId, TokenId
from engine_svc.core.request import Request, RequestSpec, RequestStatus
from engine_svc.core.scheduler.base import Capacity, Fits, Later, Never, SchedulerConfig
from engine_svc.core.scheduler.budget import TokenBudget
from engine_svc.core.scheduler.queue import FcfsQueue


class ContinuousScheduler:
    """The `continuous` policy; see `scheduler.base.Scheduler`."""

    def __init__(self, config: SchedulerConfig) -> None:
        self._config = config
        self._pool = BlockPool(config.num_blocks)
        self._waiting = FcfsQueue()
        self._running: dict[RequestId, Request] = {}
        self._requests: dict[RequestId, Request] = {}
        self._ended: list[RequestId] = []
        self._step = 0

    @property
    def layouts(self) -> frozenset[type[Layout]]:
        """Ragged alone."""
        return frozenset({Ragged})

    @property
    def has_requests(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._requests)

    def capacity(self, spec: RequestSpec) -> Capacity:
        """Whether a request like this has room: length first, then blocks."""
        if spec.max_num_tokens > self._config.max_model_len:
            return Never(
                f"prompt of {spec.num_prompt_tokens} tokens and max_tokens"
                f" {spec.stopping.max_tokens} exceed the context of {self._config.max_model_len}"
            )
        if len(spec.prior_output_token_ids) >= spec.stopping.max_tokens:
            return Never("the prior output already has max_tokens tokens")
        needed = self._blocks_needed(spec)
        if needed > self._pool.num_blocks:
            return Never(f"needs {needed} KV blocks; there are {self._pool.num_blocks}")
        has_room = needed <= self._pool.num_available and self._has_free_seat()
        return Fits() if has_room and not len(self._waiting) else Later()

    def add_request(self, spec: RequestSpec, now: float) -> None:
        """Put a request at the end of the queue."""
        request = Request(spec=spec, arrival=now)
        self._requests[request.request_id] = request
        self._waiting.push(request)

    def abort_requests(self, request_ids: Collection[RequestId]) -> tuple[RequestId, ...]:
        """End requests in any state and free what they hold."""
        known = tuple(i for i in request_ids if i in self._requests)
        for request_id in known:
            self._end(self._requests[request_id])
        return known

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
        ended, self._ended = tuple(self._ended), []
        return SchedulerOutput(
            step=self._step,
            sequences=tuple(sequences),
            layout=Ragged(),
            finished_request_ids=ended,
        )

    def update_from_output(
        self, step: SchedulerOutput, result: RunnerOutput, now: float
    ) -> tuple[RequestOutput, ...]:
        """Append the step's tokens, end what is done, free its blocks."""
        outputs = []
        for sequence in step.sequences:
            request = self._running[sequence.request_id]
            is_first = request.num_computed_tokens == 0
            request.num_computed_tokens += sequence.num_tokens
            fault = result.faults.get(request.request_id)
            if fault is not None:
                outputs.append(self._failed(request, fault))
            elif sequence.sample is not None:
                tokens = result.token_ids[request.request_id]
                outputs.append(self._advanced(request, tokens, now, is_first=is_first))
            elif is_first:
                outputs.append(_started(request))
        return tuple(outputs)

    def load(self) -> SchedulerLoad:
        """How busy it is."""
        return SchedulerLoad(
            num_running=len(self._running),
            num_waiting=len(self._waiting),
            num_waiting_tokens=self._waiting.num_tokens,
            num_free_blocks=self._pool.num_free,
            num_used_blocks=self._pool.num_used,
            num_cached_blocks=0,
            num_total_blocks=self._pool.num_blocks,
        )

    def check_integrity(self) -> None:
        """Raise AssertionError unless every request is in one place and every block in one."""
        self._pool.check_integrity()
        held = sum(len(r.block_table) for r in self._running.values())
        promised = sum(r.num_reserved_blocks for r in self._running.values())
        assert held == self._pool.num_used  # noqa: S101 - our own fact
        assert promised == self._pool.num_reserved  # noqa: S101 - likewise
        assert len(self._running) + len(self._waiting) == len(self._requests)  # noqa: S101

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
        request = self._waiting.peek()
        if request is None or not self._has_free_seat():
            return None
        needed = self._blocks_needed(request.spec)
        if not self._pool.reserve(needed):
            return None
        self._waiting.remove(request)
        request.num_reserved_blocks = needed
        request.status = RequestStatus.RUNNING
        request.first_scheduled = now
        self._running[request.request_id] = request
        return request

    def _scheduled(self, request: Request, count: int) -> ScheduledSequence:
        first = request.num_computed_tokens
        end = first + count
        self._grow(request, end)
        return ScheduledSequence(
            request_id=request.request_id,
            token_ids=tuple(request.token_ids[first:end]),
            first_position=first,
            num_prompt_tokens=request.spec.num_prompt_tokens,
            block_table=request.block_table,
            slot_mapping=slots_for(request.block_table, first, end, self._config.block_size),
            sample=_sample_spec(request) if end == len(request.token_ids) else None,
        )

    def _grow(self, request: Request, num_tokens: int) -> None:
        """Take promised blocks until the table covers `num_tokens` positions."""
        missing = blocks_for(num_tokens, self._config.block_size) - len(request.block_table)
        if missing > 0:
            request.block_table += tuple(self._pool.allocate_reserved(missing))
            request.num_reserved_blocks -= missing

    def _advanced(
        self, request: Request, tokens: tuple[TokenId, ...], now: float, *, is_first: bool
    ) -> RequestOutput:
        position = request.num_output_tokens
        request.append(tokens)
        if request.first_token is None:
            request.first_token = now
        ending = ending_of(request, max_model_len=self._config.max_model_len)
        if ending is not None:
            self._end(request)
        return RequestOutput(
            request_id=request.request_id,
            first_position=position,
            token_ids=tokens,
            is_first=is_first,
            queue_s=_queue_s(request),
            finish_reason=ending.reason if ending else None,
            stop_token_id=ending.stop_token_id if ending else None,
            prefill_s=request.first_token - (request.first_scheduled or 0.0),
            decode_s=now - request.first_token,
        )

    def _failed(self, request: Request, fault: RowFault) -> RequestOutput:
        self._end(request)
        return RequestOutput(request_id=request.request_id, fault=fault)

    def _end(self, request: Request) -> None:
        """Leave every place and give back every block."""
        if request.status is RequestStatus.RUNNING:
            del self._running[request.request_id]
            self._pool.cancel_reservation(request.num_reserved_blocks)
            self._pool.free(request.block_table)
            self._ended.append(request.request_id)
        else:
            self._waiting.remove(request)
        del self._requests[request.request_id]
        request.status = RequestStatus.FINISHED

    def _has_free_seat(self) -> bool:
        return len(self._running) < self._config.max_num_seqs

    def _blocks_needed(self, spec: RequestSpec) -> int:
        # The last token is never computed: it ends the request.
        return blocks_for(spec.max_num_tokens - 1, self._config.block_size)


def _sample_spec(request: Request) -> SampleSpec:
    return SampleSpec(
        sampling=request.spec.sampling,
        output_index=request.spec.output_index,
        banned_token_ids=banned_token_ids(request),
    )


def _queue_s(request: Request) -> float:
    return (request.first_scheduled or request.arrival) - request.arrival


def _started(request: Request) -> RequestOutput:
    return RequestOutput(request_id=request.request_id, is_first=True, queue_s=_queue_s(request))
