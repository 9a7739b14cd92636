"""Who decodes when not everybody can: fair turns within rows * tkv.

Source: sendnn-inference's pausing of decodes (2.4 and later).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from engine_svc.core.batching import PauseOrder
from engine_svc.core.geometry.aligned_rows import AlignedRows, aligned


class Candidate(Protocol):
    """A row that could decode now."""

    @property
    def next_kv_len(self) -> int:
        """Positions with the one that it would compute."""

    @property
    def num_decoded(self) -> int:
        """Tokens that it has decoded."""

    @property
    def num_left_out(self) -> int:
        """Decode steps since its last turn."""


Row = TypeVar("Row", bound=Candidate)
Fits = Callable[[AlignedRows], bool]


@dataclass(frozen=True, slots=True)
class Turns(Generic[Row]):
    """Who decodes, and who is left out."""

    decoding: list[Row]
    """Those who did so before, in their order, then those who come back, in turn."""
    paused: list[Row]
    """In turn."""


def take_turns(
    paused: Sequence[Row], decoding: Sequence[Row], *, order: PauseOrder, fits: Fits
) -> Turns[Row]:
    """Choose who decodes: longest left out first, then by `order`, then paused before decoding.

    Args:
        paused: rows that were left out of the last decode step.
        decoding: all other rows.
        order: who goes first among those left out equally long.
        fits: whether rows may decode together; fewer rows always may if more may.
    """
    if not paused and fits(aligned([row.next_kv_len for row in decoding])):
        return Turns(list(decoding), [])
    rows = AlignedRows()
    back, chosen, left_out = list[Row](), set[int](), list[Row]()
    for idx, row in _in_turn([*paused, *decoding], order):
        more = rows.with_row(row.next_kv_len)
        if not fits(more):
            left_out.append(row)
            continue
        rows = more
        chosen.add(idx)
        if idx < len(paused):
            back.append(row)
    kept = [row for idx, row in enumerate(decoding, start=len(paused)) if idx in chosen]
    return Turns(kept + back, left_out)


def _in_turn(rows: Sequence[Row], order: PauseOrder) -> list[tuple[int, Row]]:
    sign = 1 if order is PauseOrder.FEWEST_FIRST else -1
    return sorted(
        enumerate(rows), key=lambda entry: (-entry[1].num_left_out, sign * entry[1].num_decoded)
    )
