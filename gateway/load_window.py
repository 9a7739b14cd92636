"""What became of requests in the last seconds, by model: a `RequestWatch` that forgets. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.request_watch import RequestWatch
from gateway.sliding import Latency, SlidingSlots, TimeCounts, latency_of
from gateway.values import FinishReason
from steeple_rpc.errors import Cancelled

_ENDED_WELL = frozenset(reason.name for reason in FinishReason)


@dataclass(slots=True)
class _Slot:
    """One slot of one model."""

    num_ended: int = 0
    num_failed: int = 0
    num_prompt_tokens: int = 0
    num_completion_tokens: int = 0
    first_token: TimeCounts = field(default_factory=TimeCounts)
    between: TimeCounts = field(default_factory=TimeCounts)
    queue: TimeCounts = field(default_factory=TimeCounts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelWindow:
    """The window of one model."""

    num_ended: int
    num_failed: int
    """Of those; neither ended well nor left by their callers."""
    num_prompt_tokens: int
    """Of requests that started."""
    num_completion_tokens: int
    time_to_first_token: Latency
    inter_token: Latency
    queue: Latency


class LoadWindow(RequestWatch):
    """A `RequestWatch` that knows the last seconds. Models are known ones: the catalog's.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._models: dict[str, SlidingSlots[_Slot]] = {}
        self._refused: SlidingSlots[_Slot] = SlidingSlots(_Slot)
        self.num_takeovers = 0
        """Since the start."""

    @property
    def window_s(self) -> float:
        """How far back the window reaches."""
        return self._refused.window_s(self._clock())

    @property
    def num_refused(self) -> int:
        """Requests of the window that were refused before they held a permit."""
        return sum(slot.num_ended for slot in self._refused.within(self._clock()))

    def of(self, model: str) -> ModelWindow:
        """The window of one model."""
        slots = self._models[model].within(self._clock()) if model in self._models else []
        return ModelWindow(
            num_ended=sum(slot.num_ended for slot in slots),
            num_failed=sum(slot.num_failed for slot in slots),
            num_prompt_tokens=sum(slot.num_prompt_tokens for slot in slots),
            num_completion_tokens=sum(slot.num_completion_tokens for slot in slots),
            time_to_first_token=latency_of(slot.first_token for slot in slots),
            inter_token=latency_of(slot.between for slot in slots),
            queue=latency_of(slot.queue for slot in slots),
        )

    def started(self, model: str, num_prompt_tokens: int, queue_s: float) -> None:
        """See RequestWatch."""
        slot = self._slot(model)
        slot.num_prompt_tokens += num_prompt_tokens
        slot.queue.add(queue_s)

    def tokens(self, model: str, count: int, gap_s: float, *, is_first: bool) -> None:
        """See RequestWatch."""
        slot = self._slot(model)
        slot.num_completion_tokens += count
        if is_first:
            slot.first_token.add(gap_s)
        else:
            slot.between.add(gap_s / count, count)

    def ended(self, model: str, outcome: str) -> None:
        """See RequestWatch."""
        if not model:
            self._refused.at(self._clock()).num_ended += 1
            return
        slot = self._slot(model)
        slot.num_ended += 1
        slot.num_failed += outcome not in _ENDED_WELL and outcome != Cancelled.default_reason

    def taken_over(self, reason: str) -> None:  # noqa: ARG002 - a RequestWatch's
        """See RequestWatch."""
        self.num_takeovers += 1

    def _slot(self, model: str) -> _Slot:
        if model not in self._models:
            self._models[model] = SlidingSlots(_Slot)
        return self._models[model].at(self._clock())
