"""The seam to the policies. A scheduler is pure: time comes in, decisions come out.

One step: `schedule(now)` says what to run; the loop runs it; `update_from_output` closes it. The
same calls always give the same decisions.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol

from engine_svc.core.batching import BatchingOptions
from engine_svc.core.outputs import (
    Layout,
    RequestOutput,
    RunnerOutput,
    SchedulerLoad,
    SchedulerOutput,
    SchedulerSnapshot,
)
from engine_svc.core.params import RequestId
from engine_svc.core.request_spec import RequestSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What is wanted of an engine before its memory is known. None = the policy decides."""

    model_max_len: int
    """The longest context that the model knows."""
    max_model_len: int | None
    """The context asked for; None = as long as model, policy and memory allow."""
    max_num_seqs: int
    max_num_batched_tokens: int
    block_size: int | None
    options: BatchingOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerConfig:
    """The bounds that every policy works within."""

    num_blocks: int
    block_size: int
    max_model_len: int
    max_num_seqs: int
    """Most requests in one step."""
    max_num_batched_tokens: int
    """Most tokens in one step; the length of a chunk where chunks have one length."""
    options: BatchingOptions = field(default_factory=BatchingOptions)


@dataclass(frozen=True, slots=True)
class Fits:
    """There is room now."""


@dataclass(frozen=True, slots=True)
class Later:
    """There will be room when others have ended."""


@dataclass(frozen=True, slots=True)
class Never:
    """There can never be room; `reason` tells the caller the limit and the value."""

    reason: str


Capacity = Fits | Later | Never


class Scheduler(Protocol):
    """Owns all requests, their block tables and the block pool."""

    def capacity(self, spec: RequestSpec) -> Capacity:
        """Whether a request like this has room."""

    def add_request(self, spec: RequestSpec, now: float) -> None:
        """Accept a request that has room now or later. Its id is not in use."""

    def abort_requests(self, request_ids: Collection[RequestId]) -> tuple[RequestId, ...]:
        """End requests in any state and free what they hold; tells the ones it knew."""

    def expire(self, now: float) -> tuple[RequestOutput, ...]:
        """End the requests whose time is over.

        A time limit ends any request, with what it has; a deadline only those that still wait,
        with a fault.
        """

    @property
    def layouts(self) -> frozenset[type[Layout]]:
        """The layouts that its steps have."""

    @property
    def has_requests(self) -> bool:
        """Whether there is anything to do: requests to run, or blocks to take back."""

    def schedule(self, now: float) -> SchedulerOutput | None:
        """Decide the next step; None if nothing can run. `update_from_output` must follow."""

    def update_from_output(
        self, step: SchedulerOutput, result: RunnerOutput, now: float
    ) -> tuple[RequestOutput, ...]:
        """Close the step that `schedule` decided: append tokens, end requests, free blocks."""

    def load(self) -> SchedulerLoad:
        """How busy it is."""

    def snapshot(self) -> SchedulerSnapshot:
        """All that it holds; costs time in proportion."""

    def check_integrity(self) -> None:
        """Raise AssertionError unless requests and blocks add up."""


class SchedulerFactory(Protocol):
    """A policy: first it settles what is wanted, then, memory known, it is made."""

    def settle(self, wanted: Bounds) -> Bounds:
        """Fill in what is left to the policy; block_size is set afterwards.

        Raises:
            StartupError: the policy cannot work like this; the message names the remedy.
        """

    def __call__(self, config: SchedulerConfig) -> Scheduler:
        """Make the scheduler.

        Raises:
            StartupError: not even one request of the longest kind has room.
        """
