"""How many requests the core has failed lately, by its own fault and not by the request's."""

from collections import deque
from collections.abc import Iterable

from engine_svc.core.outputs import RequestOutput

WINDOW_S = 60.0
OUR_FAULTS = frozenset({"NON_FINITE_LOGITS", "STEP_FAILED"})


class FaultWindow:
    """Requests that failed within the last WINDOW_S seconds, up to a limit.

    Args:
        limit: so many mean that the core is sick, however each one alone looks; at least 1.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._times: deque[float] = deque(maxlen=limit)

    def note(self, outputs: Iterable[RequestOutput], now: float) -> bool:
        """Count what failed; tells whether the limit is reached.

        Args:
            outputs: of one turn of the loop.
            now: monotonic seconds, never less than before.
        """
        faults = (output.fault for output in outputs if output.fault is not None)
        self._times.extend(now for fault in faults if fault.reason in OUR_FAULTS)
        while self._times and now - self._times[0] > WINDOW_S:
            self._times.popleft()
        return len(self._times) == self._limit
