"""Parts of a step: the same step for some of its sequences, or for its block copies alone.

The device sees the shape that it was given: padding, rows and lengths stay those of the whole step,
and whoever is left out leaves padding behind. What is finished or paused is told with every part.
"""

from collections.abc import Collection
from dataclasses import replace
from typing import assert_never

from engine_svc.core.outputs import Layout, PaddedPaged, Ragged, SchedulerOutput, StaticShape
from engine_svc.core.params import RequestId


def narrowed(step: SchedulerOutput, request_ids: Collection[RequestId]) -> SchedulerOutput:
    """The step for the sequences of these requests, in their order, without its block copies.

    It may run although the whole step did before: it writes the same values into the same slots.
    Copies are another matter: a second one would undo what was written since.
    """
    kept = tuple(
        idx for idx, sequence in enumerate(step.sequences) if sequence.request_id in request_ids
    )
    return replace(
        step,
        sequences=tuple(step.sequences[idx] for idx in kept),
        layout=_narrowed_layout(step.layout, kept, frozenset(request_ids)),
        block_copies=(),
    )


def copies_alone(step: SchedulerOutput) -> SchedulerOutput:
    """The step's block copies, and nothing to compute."""
    return replace(narrowed(step, ()), block_copies=step.block_copies)


def halves(step: SchedulerOutput) -> tuple[SchedulerOutput, SchedulerOutput]:
    """The step in two parts of the same size, or one more in the first; at least two sequences."""
    ids = [sequence.request_id for sequence in step.sequences]
    middle = (len(ids) + 1) // 2
    return narrowed(step, ids[:middle]), narrowed(step, ids[middle:])


def _narrowed_layout(
    layout: Layout, kept: tuple[int, ...], request_ids: frozenset[RequestId]
) -> Layout:
    match layout:
        case Ragged():
            return layout
        case PaddedPaged():
            return replace(layout, left_pads=tuple(layout.left_pads[idx] for idx in kept))
        case StaticShape():
            rows = tuple(row if row in request_ids else None for row in layout.rows)
            return replace(layout, rows=rows)
        case _:
            assert_never(layout)
