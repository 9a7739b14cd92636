"""What an engine did in the last seconds, from what its counters told. Pure."""

from collections import deque
from dataclasses import dataclass

from gateway.sliding import NUM_SLOTS, SLOT_S
from gateway.upstream_values import EngineReport

WINDOW_S = NUM_SLOTS * SLOT_S
_MAX_REPORTS = 64
"""More than are asked for in a window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineWork:
    """The last report, and what was counted up to it."""

    report: EngineReport
    counted_s: float
    """Over so long; 0 = there is one report only."""
    num_steps: int
    num_output_tokens: int
    num_preemptions: int
    num_prompt_tokens: int
    num_cached_prompt_tokens: int


class EngineHistory:
    """The reports of one engine within the window."""

    def __init__(self) -> None:
        self._reports: deque[tuple[float, EngineReport]] = deque(maxlen=_MAX_REPORTS)

    def note(self, report: EngineReport | None, now: float) -> None:
        """Take a report; None = it did not tell, and what was known is forgotten."""
        if report is None or self._has_restarted(report):
            self._reports.clear()
        if report is not None:
            self._reports.append((now, report))
        while self._reports and self._reports[0][0] < now - WINDOW_S:
            self._reports.popleft()

    @property
    def last(self) -> EngineReport | None:
        """The last report, unless the engine has fallen silent since."""
        return self._reports[-1][1] if self._reports else None

    @property
    def work(self) -> EngineWork | None:
        """What it does; None where it has fallen silent."""
        if not self._reports:
            return None
        (begin, first), (end, last) = self._reports[0], self._reports[-1]
        return EngineWork(
            report=last,
            counted_s=end - begin,
            num_steps=last.num_steps - first.num_steps,
            num_output_tokens=last.num_output_tokens - first.num_output_tokens,
            num_preemptions=last.num_preemptions - first.num_preemptions,
            num_prompt_tokens=last.num_prompt_tokens - first.num_prompt_tokens,
            num_cached_prompt_tokens=last.num_cached_prompt_tokens - first.num_cached_prompt_tokens,
        )

    def _has_restarted(self, report: EngineReport) -> bool:
        """Counters only grow while a core lives; a busy new one may pass some of the old one's."""
        last = self.last
        return last is not None and any(
            new < old for new, old in zip(_counters(report), _counters(last), strict=True)
        )


def _counters(report: EngineReport) -> tuple[int, ...]:
    return (
        report.num_steps,
        report.num_output_tokens,
        report.num_preemptions,
        report.num_prompt_tokens,
        report.num_cached_prompt_tokens,
    )
