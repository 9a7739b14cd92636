"""Which engine gets a request: the least loaded; an unknown load is not an idle one. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLoad:
    """What is known about an engine's load."""

    num_here: int
    """Live requests that this gateway sent."""
    num_reported: int | None
    """Requests that the engine last reported, of every gateway; None if it did not."""
    num_here_at_report: int = 0
    """Of those, the ones that this gateway had sent then."""

    @property
    def num_requests(self) -> int:
        """The best estimate: ours exactly, the others' by the last report."""
        others = max(0, (self.num_reported or 0) - self.num_here_at_report)
        return self.num_here + others


def least_loaded(loads: Sequence[EngineLoad]) -> int:
    """Index of the engine to take; the first of equals.

    Args:
        loads: not empty.
    """

    def rank(index: int) -> tuple[bool, int]:
        return loads[index].num_reported is None, loads[index].num_requests

    return min(range(len(loads)), key=rank)
