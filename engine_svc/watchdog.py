"""When a core that owes an answer counts as stuck."""

from collections.abc import Callable

TICK_S = 0.25
_USUAL_STEPS = 4
_DECAY = 0.99


class Watchdog:
    """Counts how long a core is silent, in ticks of this process.

    One tick counts for two at most, however late it comes: while this process was stopped or had no
    processor, the core may have been too, and it gets the time to speak.

    Args:
        limit_s: silence that is always allowed. Four times the slowest of the recent steps is too.
        clock: monotonic seconds.
    """

    def __init__(self, limit_s: float, clock: Callable[[], float]) -> None:
        self._limit_s = limit_s
        self._clock = clock
        self._silent_s = 0.0
        self._slow_step_s = 0.0
        self._last_tick = clock()

    @property
    def limit_s(self) -> float:
        """The silence that is allowed now."""
        return max(self._limit_s, _USUAL_STEPS * self._slow_step_s)

    def heard(self, step_s: float = 0.0) -> None:
        """The core spoke, or was asked the first thing.

        Args:
            step_s: how long the step took that it told of; 0 = it told of none.
        """
        self._silent_s = 0.0
        self._last_tick = self._clock()
        if step_s:
            self._slow_step_s = max(step_s, _DECAY * self._slow_step_s)

    def is_stuck(self) -> bool:
        """Count one tick of silence; tells whether it has become too long. Call every TICK_S."""
        now = self._clock()
        self._silent_s += min(now - self._last_tick, 2 * TICK_S)
        self._last_tick = now
        return self._silent_s > self.limit_s
