"""The seam to the policies. A scheduler is pure: time comes in, decisions come out.

One step: `schedule(now)` says what to run; the loop runs it; `update_from_output` closes it. The
same calls always give the same decisions.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from engine_svc.core.outputs import (
    Layout,
    RequestOutput,
    RunnerOutput,
    SchedulerLoad,
    SchedulerOutput,
)
from engine_svc.core.params import RequestId
from engine_svc.core.request import RequestSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerConfig:
    """The bounds that every policy works within."""

    num_blocks: int
    block_size: int
    max_model_len: int
    max_num_seqs: int
    """Most requests in one step."""
    max_num_batched_tokens: int
    """Most tokens in one step; at least max_num_seqs."""


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

    @property
    def layouts(self) -> frozenset[type[Layout]]:
        """The layouts that its steps have."""

    @property
    def has_requests(self) -> bool:
        """Whether there is anything to do."""

    def schedule(self, now: float) -> SchedulerOutput | None:
        """Decide the next step; None if nothing can run. `update_from_output` must follow."""

    def update_from_output(
        self, step: SchedulerOutput, result: RunnerOutput, now: float
    ) -> tuple[RequestOutput, ...]:
        """Close the step that `schedule` decided: append tokens, end requests, free blocks."""

    def load(self) -> SchedulerLoad:
        """How busy it is."""

    def check_integrity(self) -> None:
        """Raise AssertionError unless requests and blocks add up."""


SchedulerFactory = Callable[[SchedulerConfig], Scheduler]
