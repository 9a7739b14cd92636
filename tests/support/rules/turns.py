"""Who may start before whom."""

from collections import Counter

from engine_svc.core.params import RequestId
from tests.support.rules.known import Known, KnownRequests
from tests.support.rules.verdict import expect_at_most, expect_equal

MAX_OVERTAKEN = 64


class StrictTurns:
    """Nobody starts before the head of the queue: lower priority number first, then arrival."""

    def check(self, starting: set[RequestId], waiting: KnownRequests) -> None:
        """Refuse a start out of turn.

        Args:
            starting: who runs for the first time in this step.
            waiting: who had not run before it, those included.
        """
        queue = sorted(waiting.values(), key=lambda known: known.turn)
        head = {known.spec.request_id for known in queue[: len(starting)]}
        expect_equal("start in order of priority, then arrival", expected=head, got=starting)


class LenientTurns:
    """Nobody is overtaken by more than a few later arrivals of its own priority."""

    def __init__(self) -> None:
        self._num_overtaken: Counter[RequestId] = Counter()

    def check(self, starting: set[RequestId], waiting: KnownRequests) -> None:
        """Count who is overtaken; the arguments are those of `StrictTurns.check`."""
        for request_id, known in waiting.items():
            if request_id in starting:
                continue
            later = [i for i in starting if _overtakes(waiting[i], known)]
            self._num_overtaken[request_id] += len(later)
            expect_at_most(
                f"nobody starves within a priority ({request_id})",
                limit=MAX_OVERTAKEN,
                got=self._num_overtaken[request_id],
            )


def _overtakes(other: Known, known: Known) -> bool:
    return other.spec.priority == known.spec.priority and other.arrival_idx > known.arrival_idx
