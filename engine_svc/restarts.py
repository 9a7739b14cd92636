"""How long to wait before a core is started again, and when to stop trying."""

FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 30.0
STEADY_S = 60.0
MAX_FAILED_STARTS = 3


class Restarts:
    """The starts of one service's cores, as far as they bear on the next."""

    def __init__(self) -> None:
        self._pause_s = 0.0
        self._num_failed_starts = 0
        self.has_served = False
        """Whether any core became ready."""

    @property
    def is_hopeless(self) -> bool:
        """Whether the last MAX_FAILED_STARTS cores ended before they were ready."""
        return self._num_failed_starts >= MAX_FAILED_STARTS

    def lost(self, *, served_s: float | None) -> float:
        """A core is lost; the seconds to wait before the next.

        They double from FIRST_PAUSE_S to MAX_PAUSE_S, and start again after a core that served for
        STEADY_S: one that dies whenever it becomes ready is no better than one that never does.

        Args:
            served_s: how long it was ready; None = it never was.
        """
        if served_s is None:
            self._num_failed_starts += 1
        else:
            self._num_failed_starts = 0
            self.has_served = True
        is_steady = served_s is not None and served_s >= STEADY_S
        doubled = min(2 * self._pause_s, MAX_PAUSE_S)
        self._pause_s = FIRST_PAUSE_S if is_steady or not doubled else doubled
        return self._pause_s
