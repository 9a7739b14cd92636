"""Static batching: batches of the shapes that the device was warmed up with, one after the other.

A batch is formed from the head of the queue and runs until its last request has ended; nobody
joins meanwhile. Source: vllm-spyre's static batching scheduler and runner (to 1.10).
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import islice

from engine_svc.core.batching import WarmupShape, fastest_first
from engine_svc.core.errors import StartupError
from engine_svc.core.geometry import shapes
from engine_svc.core.kv_cache.block_pool import BlockPool, blocks_for
from engine_svc.core.kv_cache.slots import slots_for
from engine_svc.core.outputs import (
    Layout,
    RequestOutput,
    RunnerOutput,
    ScheduledSequence,
    SchedulerLoad,
    SchedulerOutput,
    SchedulerSnapshot,
    StaticShape,
)
from engine_svc.core.params import RequestId
from engine_svc.core.request import Request
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core.scheduler.base import Bounds, Capacity, Fits, Later, Never, SchedulerConfig
from engine_svc.core.scheduler.ledger import Ledger
from engine_svc.core.scheduler.limits import beyond_context, load_of
from engine_svc.core.scheduler.sequences import scheduled

DEFAULT_BLOCK_SIZE = 16
MAX_LOOKED_AT = 1024
"""Requests of the queue that are looked at for one batch, so that its length costs nothing."""


@dataclass(slots=True, kw_only=True)
class _Batch:
    shape: WarmupShape
    rows: list[Request | None]
    """In order of admission; None = ended."""
    prefill_lens: tuple[int, ...]
    num_steps: int = 0

    @property
    def requests(self) -> list[Request]:
        return [request for request in self.rows if request is not None]


class StaticScheduler:
    """The `static` policy; see `scheduler.base.Scheduler`."""

    def __init__(self, config: SchedulerConfig) -> None:
        self._config = config
        self._shapes = fastest_first(config.options.shapes)
        self._pool = BlockPool(config.num_blocks)
        self._ledger = Ledger(max_model_len=config.max_model_len, release=self._release)
        self._batch: _Batch | None = None
        self._step = 0
        self._check_room()

    @classmethod
    def settle(cls, wanted: Bounds) -> Bounds:
        """The shapes say how long and how many; see `SchedulerFactory.settle`."""
        given = wanted.options.shapes
        if not given:
            raise StartupError("the policy static needs --warmup-shapes prompt:new:batch,...")
        longest = max(shape.prompt_len + shape.new_tokens for shape in given)
        if longest > wanted.model_max_len:
            raise StartupError(
                f"--warmup-shapes: prompt + new tokens come to {longest}; the model's context is"
                f" {wanted.model_max_len}: choose smaller shapes"
            )
        return replace(
            wanted,
            max_model_len=longest,
            max_num_seqs=shapes.max_batch_size(given),
            block_size=wanted.block_size or DEFAULT_BLOCK_SIZE,
        )

    @property
    def layouts(self) -> frozenset[type[Layout]]:
        """StaticShape alone."""
        return frozenset({StaticShape})

    @property
    def has_requests(self) -> bool:
        """Whether there is anything to do."""
        return len(self._ledger) > 0

    def capacity(self, spec: RequestSpec) -> Capacity:
        """Whether a request like this has room: some shape takes it, and the next batch is its."""
        if (reason := beyond_context(spec, self._config.max_model_len)) is not None:
            return Never(f"{reason}; the shapes are {self._told_shapes()}")
        if not self._fitting(spec):
            return Never(
                f"no shape takes a prompt of {spec.num_prefill_tokens} tokens with max_tokens"
                f" {spec.num_new_tokens}; the shapes are {self._told_shapes()}"
            )
        return Later() if len(self._ledger) else Fits()

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
        """Go on with the batch; form the next one when it has drained."""
        if self._batch is None or not self._batch.requests:
            self._batch = self._formed(now)
        batch = self._batch
        if batch is None:
            return None
        self._step += 1
        batch.num_steps += 1
        return SchedulerOutput(
            step=self._step,
            sequences=tuple(self._scheduled(request) for request in batch.requests),
            layout=_layout(batch),
            finished_request_ids=self._ledger.take_ended(),
        )

    def update_from_output(
        self, step: SchedulerOutput, result: RunnerOutput, now: float
    ) -> tuple[RequestOutput, ...]:
        """Append the step's tokens, end what is done, free its blocks."""
        return self._ledger.close(step, result, now)

    def load(self) -> SchedulerLoad:
        """How busy it is."""
        return load_of(self._ledger, self._pool, num_running=len(self._seated()))

    def snapshot(self) -> SchedulerSnapshot:
        """All that it holds; tkv is the KV length of the last step's batch."""
        return SchedulerSnapshot(
            waiting=tuple(request.request_id for request in self._ledger.waiting),
            running=tuple(request.request_id for request in self._seated()),
            tkv=_kv_len(self._batch) if self._batch else 0,
            num_used_blocks=self._pool.num_used,
            num_reserved_blocks=self._pool.num_reserved,
            block_tables={r.request_id: r.block_table for r in self._seated()},
            block_refs=dict(self._pool.refs),
        )

    def check_integrity(self) -> None:
        """Raise AssertionError unless every request is in one place and every block in one."""
        self._pool.check_integrity()
        held = sum(len(request.block_table) for request in self._seated())
        assert held == self._pool.num_used  # noqa: S101 - our own fact
        assert self._pool.num_reserved == 0  # noqa: S101 - likewise
        assert len(self._seated()) + len(self._ledger.waiting) == len(self._ledger)  # noqa: S101

    def _formed(self, now: float) -> _Batch | None:
        """A batch of those who fit one shape together, in order; misfits wait for the next."""
        seated: list[Request] = []
        left = self._shapes
        for request in tuple(islice(self._ledger.waiting, MAX_LOOKED_AT)):
            if fitting := self._fitting(request.spec, left, num_seated=len(seated)):
                seated.append(request)
                left = fitting
            elif len(seated) >= shapes.max_batch_size(left):
                break
        return self._begun(seated, now) if seated else None

    def _begun(self, seated: list[Request], now: float) -> _Batch:
        for request in seated:
            self._ledger.start(request, now)
            needed = self._blocks_needed(request.spec)
            reserved = self._pool.reserve(needed)
            assert reserved  # noqa: S101 - the pool holds the largest batch
            request.block_table = tuple(self._pool.allocate_reserved(needed))
        lens = tuple(request.spec.num_prefill_tokens for request in seated)
        return _Batch(shape=self._shape_of(seated), rows=list(seated), prefill_lens=lens)

    def _shape_of(self, seated: list[Request]) -> WarmupShape:
        """The fastest shape that holds them all."""
        return shapes.fitting(
            self._shapes,
            prompt_len=max(request.spec.num_prefill_tokens for request in seated),
            new_tokens=max(request.spec.num_new_tokens for request in seated),
            num_seated=len(seated) - 1,
        )[0]

    def _fitting(
        self,
        spec: RequestSpec,
        among: tuple[WarmupShape, ...] | None = None,
        *,
        num_seated: int = 0,
    ) -> tuple[WarmupShape, ...]:
        return shapes.fitting(
            self._shapes if among is None else among,
            prompt_len=spec.num_prefill_tokens,
            new_tokens=spec.num_new_tokens,
            num_seated=num_seated,
        )

    def _scheduled(self, request: Request) -> ScheduledSequence:
        first, end = request.num_computed_tokens, len(request.token_ids)
        slots = slots_for(request.block_table, first, end, self._config.block_size)
        return scheduled(request, end, slots)

    def _release(self, request: Request) -> None:
        """Leave the row empty and take back the blocks."""
        assert self._batch is not None  # noqa: S101 - it runs
        self._batch.rows[self._batch.rows.index(request)] = None
        self._pool.free(request.block_table)

    def _seated(self) -> list[Request]:
        return self._batch.requests if self._batch else []

    def _blocks_needed(self, spec: RequestSpec) -> int:
        # The last token is never computed: it ends the request.
        return blocks_for(spec.max_num_tokens - 1, self._config.block_size)

    def _told_shapes(self) -> str:
        return ", ".join(map(str, self._shapes))

    def _check_room(self) -> None:
        """Refuse to start unless the largest batch has blocks."""
        for shape in self._shapes:
            length = shape.prompt_len + shape.new_tokens - 1
            needed = shape.batch_size * blocks_for(length, self._config.block_size)
            if needed > self._config.num_blocks:
                raise StartupError(
                    f"--warmup-shapes: {shape} needs {needed} KV blocks of"
                    f" {self._config.block_size} tokens; there are {self._config.num_blocks}:"
                    " raise --kv-cache-bytes or choose a smaller shape"
                )


def _kv_len(batch: _Batch) -> int:
    return batch.shape.prompt_len + batch.num_steps - 1


def _layout(batch: _Batch) -> StaticShape:
    shape, num_empty = batch.shape, batch.shape.batch_size - len(batch.rows)
    return StaticShape(
        prompt_len=shape.prompt_len,
        new_tokens=shape.new_tokens,
        batch_size=shape.batch_size,
        kv_len=_kv_len(batch),
        rows=tuple(r.request_id if r else None for r in batch.rows) + (None,) * num_empty,
        left_pads=tuple(shape.prompt_len - length for length in batch.prefill_lens)
        + (shape.prompt_len,) * num_empty,
    )
