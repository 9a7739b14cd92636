"""What happened in a simulation, as values: steps, requests, refusals."""

from dataclasses import dataclass
from enum import Enum

from engine_svc.core.params import FinishReason, RequestId
from steeple_cli.planning.step_work import StepWork


class Cause(Enum):
    """Why a request that decodes got no token in a step."""

    PROMPT = "prompt"
    """The step was another request's prompt."""
    LIMIT = "limit"
    """The step was a decode, and its batch had no room for this request."""
    PREEMPTION = "preemption"
    """It had given its blocks back."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A span of virtual time, in seconds."""

    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        """Its length."""
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class Pause:
    """A span in which a request that decodes got no token."""

    interval: Interval
    cause: Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One request's way to its end."""

    request_id: RequestId
    prompt_len: int
    arrival_s: float
    start_s: float
    """When the first step that computes it began."""
    token_times_s: tuple[float, ...]
    """When each output token was there; never empty, the last is its end."""
    num_cached_tokens: int
    """Prompt tokens that the prefix cache spared."""
    finish_reason: FinishReason
    pauses: tuple[Pause, ...]
    """In order; they do not touch each other unless their causes differ."""

    @property
    def first_token_s(self) -> float:
        """When the first token was there."""
        return self.token_times_s[0]

    @property
    def end_s(self) -> float:
        """When the last token was there."""
        return self.token_times_s[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One step."""

    interval: Interval
    work: StepWork
    num_used_blocks: int
    """While it runs."""
    num_preempted: int = 0
    """Requests that gave their blocks back for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A request that can never be computed."""

    request_id: RequestId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """All of it."""

    steps: tuple[StepRecord, ...]
    requests: tuple[RequestRecord, ...]
    """In the order of their ends."""
    refusals: tuple[Refusal, ...]
    """In the order of arrival."""
