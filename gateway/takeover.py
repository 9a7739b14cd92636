"""When a request goes on at another engine, how often and for how long that is tried. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from steeple_rpc.errors import InvalidRequest, Overloaded, ServiceError, Unavailable

FIRST_PAUSE_S = 0.1
MAX_PAUSE_S = 2.0
ENGINE_LOST = "ENGINE_LOST"
ENGINE_STALLED = "ENGINE_STALLED"

# The engine's own refusals: it never had the request, or says that it gives it back.
_REFUSALS = frozenset({"STARTING", "DRAINING"})
LOSSES = frozenset({ENGINE_LOST, ENGINE_STALLED}) | _REFUSALS
"""The reasons for which a request goes on elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeoverLimits:
    """How far the gateway goes for one request."""

    max_takeovers: int = 2
    """Engines that may be lost under it before it fails too: it may be what kills them."""
    timeout_s: float = 30.0
    """From a loss until an engine has the request."""


class Takeovers:
    """The losses of one request. Time comes in as `now`, monotonic seconds.

    A loss begins a takeover. Until an engine has told that it computes the request, refusals belong
    to that takeover; a further loss begins the next one.

    Args:
        limits: how far to go.
        draw: random numbers of 0 to 1.
        on_success: told why, when an engine goes on with the request.
    """

    def __init__(
        self,
        limits: TakeoverLimits,
        *,
        draw: Callable[[], float],
        on_success: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._limits = limits
        self._on_success = on_success
        self._draw = draw
        self._num_begun = 0
        self._num_pauses = 0
        self._until = 0.0
        self._loss: ServiceError | None = None

    @property
    def num_begun(self) -> int:
        """Takeovers so far."""
        return self._num_begun

    @property
    def reason(self) -> str:
        """Why the last takeover began; empty before the first."""
        return self._loss.reason if self._loss else ""

    def note(self, error: ServiceError, now: float, *, has_begun: bool, was_begun: bool) -> None:
        """Take note of how an attempt ended; returns if the request may be tried elsewhere.

        Args:
            error: what it ended with.
            now: when.
            has_begun: the engine had told that it computes the request.
            was_begun: some engine had, this one or an earlier one: what it settled, and its output
                so far, is asked of the next ones.

        Raises:
            ServiceError: the request's end: its own error, or that it cannot go on.
        """
        if self._num_begun and not has_begun and _is_refusal(error):
            return
        if was_begun and not has_begun and isinstance(error, InvalidRequest):
            raise _cannot_resume() from error
        if not is_loss(error):
            raise error
        self.begin(error, now)

    def succeed(self) -> None:
        """An engine goes on with the request."""
        self._on_success(self.reason)

    def left_s(self, now: float) -> float:
        """What is left of the current takeover; 0 when it is over."""
        return max(0.0, self._until - now)

    def next_pause_s(self) -> float:
        """How long to leave engines alone that just failed; grows within one takeover.

        Drawn at random: requests that lost the same engine do not come back together.
        """
        pause_s = min(FIRST_PAUSE_S * 2.0**self._num_pauses, MAX_PAUSE_S)
        self._num_pauses += 1
        return pause_s * (0.5 + self._draw() / 2)

    def check_may_wait(self, *, has_started: bool) -> None:
        """Tell whether an engine is waited for where none is there.

        Args:
            has_started: some engine had told that it computes the request.

        Raises:
            ServiceError: an engine refused the request before any had begun it. A caller who came
                now would be refused at once, and another replica may serve both.
        """
        if not has_started and self._loss is not None and _is_refusal(self._loss):
            raise self._loss

    def too_late(self) -> Unavailable:
        """The error of a takeover that found no engine in time."""
        limit_s = self._limits.timeout_s
        return self._ended(
            f"no engine took the request over within {limit_s:g} s, or its time limit if that is"
            " shorter"
        )

    def begin(self, loss: ServiceError, now: float) -> None:
        """Look for another engine from now on.

        Raises:
            ServiceError: that was done as often as may be.
        """
        self._loss = loss
        limit = self._limits.max_takeovers
        if limit == 0:
            raise loss
        if self._num_begun >= limit:
            raise self._ended(
                f"the request lost {self._num_begun + 1} engines; the limit is {limit} takeovers"
            ) from loss
        self._num_begun += 1
        self._num_pauses = 0
        self._until = now + self._limits.timeout_s

    def _ended(self, message: str) -> Unavailable:
        # That it was starting says nothing once a takeover has failed.
        lost = self.reason == "STARTING"
        return Unavailable(message, reason=ENGINE_LOST if lost else self.reason)


def is_loss(error: ServiceError) -> bool:
    """Whether the engine is at fault and not the request: another engine may go on."""
    return isinstance(error, Unavailable) and error.reason in LOSSES


def _is_refusal(error: ServiceError) -> bool:
    if isinstance(error, Overloaded):
        return error.reason == "QUEUE_FULL"
    return isinstance(error, Unavailable) and error.reason in _REFUSALS


def _cannot_resume() -> Unavailable:
    return Unavailable(
        "the engine was lost, and the one that is there cannot take what it was computing: prompt"
        " and output so far, or their limits, are too much for it",
        reason=ENGINE_LOST,
    )
