"""What a core owes and how long it has been silent: when to ask for a sign of life, when to end it.

idle ── a command ──→ owes work: silent for the limit at most
  └ silent for PING_EVERY_S → owes a sign of life: within PING_LIMIT_S

A core is idle only where it says so itself after all that was sent to it: what it still computes
for somebody who has left is work, however long it takes.
"""

from collections.abc import Callable

from engine_svc.core.messages import StepOutputs
from engine_svc.watchdog import TICK_S, Watchdog

PING_EVERY_S = 5.0
PING_LIMIT_S = 10.0
"""An idle core needs microseconds to answer: so much, on a machine that is ten times too busy."""


class Vigil:
    """Over one core, from its start or from its readiness.

    It owes work until it says that it is idle.

    Args:
        limit_s: how long a core that owes work may be silent; see `Watchdog`.
        clock: monotonic seconds.
    """

    def __init__(self, limit_s: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._work = Watchdog(limit_s, clock)
        self._ping = Watchdog(PING_LIMIT_S, clock)
        self._owes_work = True
        self._num_sent = 0
        self._num_obeyed = 0
        self._ping_number = 0
        self._last_word = clock()

    @property
    def silent_s(self) -> float:
        """Seconds since a core that owes work last spoke; 0 while it owes none."""
        return self._clock() - self._last_word if self._owes_work else 0.0

    @property
    def pause_s(self) -> float:
        """How long nobody needs to look: until the next tick, or until a ping is due."""
        if self._owes_work or self._owes_sign:
            return TICK_S
        return max(self._last_word + PING_EVERY_S - self._clock(), 0.0)

    @property
    def is_ping_due(self) -> bool:
        """Whether an idle core was silent for so long that it is asked for a sign of life."""
        return self.pause_s == 0.0

    def ready(self, longest_step_s: float) -> None:
        """The core is ready and idle; its longest step takes so many seconds."""
        self._heard(longest_step_s)
        self._owes_work = False

    def sent(self) -> bool:
        """The core was sent a command; tells whether that ended its idleness."""
        self._num_sent += 1
        if self._owes_work:
            return False
        self._heard(0.0)
        self._owes_work = True
        return True

    def pinged(self) -> None:
        """The core was sent a ping."""
        self._num_sent += 1
        self._ping_number = self._num_sent
        self._ping.heard()

    def told(self, outputs: StepOutputs, *, has_work: bool) -> None:
        """The core spoke.

        Args:
            outputs: what it told.
            has_work: whether somebody still waits for it.
        """
        self._heard(outputs.step_s)
        self._num_obeyed = outputs.num_obeyed
        self._owes_work = has_work or not outputs.is_idle or self._num_obeyed < self._num_sent

    def overdue(self) -> str | None:
        """Count a tick of silence; what the core has owed for too long, in words, or None.

        To be asked when `pause_s` is over.
        """
        if self._owes_work and self._work.is_stuck():
            return f"it was silent for more than {self._work.limit_s:.3g} s"
        if self._owes_sign and self._ping.is_stuck():
            return f"it was idle and gave no sign of life for more than {PING_LIMIT_S:g} s"
        return None

    @property
    def _owes_sign(self) -> bool:
        return self._num_obeyed < self._ping_number

    def _heard(self, step_s: float) -> None:
        self._last_word = self._clock()
        self._work.heard(step_s)
