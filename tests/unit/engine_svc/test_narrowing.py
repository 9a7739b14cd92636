"""A part of a step is a valid step: its sequences, their places in the layout, no copies."""

from engine_svc.core.narrowing import copies_alone, halves, narrowed
from engine_svc.core.outputs import (
    Layout,
    PaddedPaged,
    Ragged,
    SampleSpec,
    ScheduledSequence,
    SchedulerOutput,
    StaticShape,
)
from engine_svc.core.params import BlockId, RequestId
from tests.support.requests import GREEDY

A, B, C = map(RequestId, "abc")


def step_of(layout: Layout) -> SchedulerOutput:
    """Three decodes, a copy, somebody who has ended and somebody who is paused."""
    return SchedulerOutput(
        step=7,
        sequences=tuple(
            ScheduledSequence(
                request_id=name,
                token_ids=(5,),
                first_position=3,
                num_prompt_tokens=3,
                block_table=(BlockId(idx + 1),),
                slot_mapping=(4 * idx + 7,),
                sample=SampleSpec(sampling=GREEDY, output_index=0),
            )
            for idx, name in enumerate((A, B, C))
        ),
        layout=layout,
        block_copies=((BlockId(8), BlockId(9)),),
        finished_request_ids=(RequestId("ended"),),
        paused_request_ids=(RequestId("paused"),),
    )


def ids_of(step: SchedulerOutput) -> list[str]:
    """Who is computed."""
    return [sequence.request_id for sequence in step.sequences]


def test_a_part_has_the_same_sequences_and_tells_the_same() -> None:
    """Number, ended and paused requests stay; copies are not repeated."""
    step = step_of(Ragged())
    part = narrowed(step, {C, A})
    assert part.sequences == (step.sequences[0], step.sequences[2])
    assert (part.step, part.finished_request_ids, part.paused_request_ids) == (
        7,
        ("ended",),
        ("paused",),
    )
    assert part.block_copies == ()
    assert part.layout == Ragged()


def test_padded_rows_keep_their_own_padding() -> None:
    """And the device its shape."""
    layout = PaddedPaged(tkv=70, left_pads=(64, 0, 32), num_rows=4, query_len=1)
    part = narrowed(step_of(layout), {B, C})
    assert part.layout == PaddedPaged(tkv=70, left_pads=(0, 32), num_rows=4, query_len=1)


def test_rows_of_a_static_batch_keep_their_seats() -> None:
    """Whoever is left out leaves padding behind, as whoever has ended."""
    layout = StaticShape(
        prompt_len=8,
        new_tokens=4,
        batch_size=5,
        kv_len=9,
        rows=(A, None, B, C, None),
        left_pads=(5, 1, 5, 5, 8),
    )
    part = narrowed(step_of(layout), {A, C})
    assert part.layout == StaticShape(
        prompt_len=8,
        new_tokens=4,
        batch_size=5,
        kv_len=9,
        rows=(A, None, None, C, None),
        left_pads=(5, 1, 5, 5, 8),
    )


def test_two_halves_are_the_whole() -> None:
    """Nobody twice, nobody missing; the first is the larger one."""
    first, second = halves(step_of(Ragged()))
    assert (ids_of(first), ids_of(second)) == (["a", "b"], ["c"])


def test_copies_alone_compute_nothing() -> None:
    """They are all that is left."""
    part = copies_alone(step_of(PaddedPaged(tkv=4, left_pads=(0, 0, 0), num_rows=3, query_len=1)))
    assert part.block_copies == ((8, 9),)
    assert part.sequences == ()
    assert part.layout == PaddedPaged(tkv=4, left_pads=(), num_rows=3, query_len=1)
