"""The step table of a simulation: what the policy holds after each step."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine_svc.core.outputs import RequestOutput, SchedulerOutput, SchedulerSnapshot
from engine_svc.core.params import RequestId
from steeple_cli.planning.record import Interval

MAX_SHOWN_IDS = 8
"""More requests than this in one cell are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRow:
    """The state after a step."""

    step: int
    time_s: float
    tkv: int
    waiting: tuple[RequestId, ...]
    running: tuple[RequestId, ...]
    paused: tuple[RequestId, ...]
    outputs: tuple[RequestId, ...]
    """Who got a token in the step."""
    finished: tuple[RequestId, ...]
    num_used_blocks: int
    num_reserved_blocks: int

    def repeats(self, before: "TraceRow") -> bool:
        """Whether it is a plain decode after `before`: nothing but one more position."""
        return (
            self.tkv - before.tkv in (0, 1)
            and not self.finished
            and self.outputs == before.outputs
            and self.places == before.places
        )

    @property
    def places(self) -> tuple[object, ...]:
        """Where the requests and the blocks are."""
        blocks = (self.num_used_blocks, self.num_reserved_blocks)
        return (self.waiting, self.running, self.paused, *blocks)


class Trace:
    """Collects rows; plain decodes are left out.

    Args:
        max_rows: as many as this are kept; None = all.
    """

    def __init__(self, max_rows: int | None) -> None:
        self._max_rows = max_rows
        self._rows: list[TraceRow] = []
        self._last: TraceRow | None = None

    @property
    def rows(self) -> Sequence[TraceRow]:
        """The rows kept."""
        return self._rows

    @property
    def wants_more(self) -> bool:
        """Whether there is room for another row."""
        return self._max_rows is None or len(self._rows) < self._max_rows

    def add(
        self,
        step: SchedulerOutput,
        interval: Interval,
        outputs: Iterable[RequestOutput],
        held: SchedulerSnapshot,
    ) -> None:
        """Note a step; it is kept unless it repeats the one before."""
        told = tuple(outputs)
        row = TraceRow(
            step=step.step,
            time_s=interval.end_s,
            tkv=held.tkv,
            waiting=held.waiting,
            running=held.running,
            paused=held.paused,
            outputs=tuple(output.request_id for output in told if output.token_ids),
            finished=tuple(output.request_id for output in told if output.finish_reason),
            num_used_blocks=held.num_used_blocks,
            num_reserved_blocks=held.num_reserved_blocks,
        )
        if self._last is None or not row.repeats(self._last):
            self._rows.append(row)
        self._last = row


def trace_cells(row: TraceRow) -> list[str]:
    """A row as text, one cell per column of TRACE_COLUMNS."""
    return [
        str(row.step),
        f"{row.time_s:.3f}",
        str(row.tkv),
        *(_listed(ids) for ids in (row.waiting, row.running, row.paused)),
        *(_listed(ids) for ids in (row.outputs, row.finished)),
        str(row.num_used_blocks),
        str(row.num_reserved_blocks),
    ]


TRACE_COLUMNS = (
    "step",
    "time s",
    "tkv",
    "waiting",
    "running",
    "paused",
    "outputs",
    "finished",
    "used",
    "reserved",
)


def _listed(ids: Sequence[RequestId]) -> str:
    hidden = len(ids) - MAX_SHOWN_IDS
    return " ".join(ids[:MAX_SHOWN_IDS]) + (f" +{hidden}" if hidden > 0 else "") or "-"
