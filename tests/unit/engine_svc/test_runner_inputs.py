"""A step's arrays state the ragged facts exactly."""

import numpy as np

from engine_svc.core.outputs import NO_SLOT, SampleSpec, ScheduledSequence
from engine_svc.core.params import BlockId, RequestId, SamplingParams
from engine_svc.core.runner.inputs import StepInputs, step_inputs

SPEC = SampleSpec(sampling=SamplingParams(temperature=0.0), output_index=0)


def sequence(
    *, first: int, length: int, blocks: tuple[int, ...], wants_token: bool = True, written: int = 0
) -> ScheduledSequence:
    """Positions below `written` are in shared blocks: computed again, not stored."""
    return ScheduledSequence(
        request_id=RequestId(f"{first}-{length}-{blocks}"),
        token_ids=tuple(range(100 + first, 100 + first + length)),
        first_position=first,
        num_prompt_tokens=1,
        block_table=tuple(BlockId(block) for block in blocks),
        slot_mapping=tuple(
            blocks[at // 4] * 4 + at % 4 if at >= written else NO_SLOT
            for at in range(first, first + length)
        ),
        sample=SPEC if wants_token else None,
    )


def inputs(*sequences: ScheduledSequence) -> StepInputs:
    return step_inputs(sequences, block_size=4)


def test_rows_stand_one_after_the_other() -> None:
    """Tokens, positions and slots of a chunk, a decode and a chunk without a sample."""
    step = inputs(
        sequence(first=0, length=3, blocks=(7,)),
        sequence(first=5, length=1, blocks=(2, 9)),
        sequence(first=3, length=2, blocks=(4, 1), wants_token=False),
    )
    assert step.token_ids.tolist() == [100, 101, 102, 105, 103, 104]
    assert step.positions.tolist() == [0, 1, 2, 5, 3, 4]
    assert step.slots.tolist() == [28, 29, 30, 37, 19, 4]
    assert step.stored_rows.tolist() == [0, 1, 2, 3, 4, 5]
    assert step.sampled_rows.tolist() == [2, 3]
    assert step.begun_blocks.tolist() == [7, 1]


def test_rows_without_a_slot_are_not_stored() -> None:
    """They are computed: their tokens and positions are there."""
    step = inputs(sequence(first=0, length=6, blocks=(3, 5), written=5))
    assert step.stored_rows.tolist() == [5]
    assert step.slots.tolist() == [21]
    assert step.begun_blocks.tolist() == []
    assert len(step.token_ids) == 6


def test_chunks_use_only_the_blocks_of_their_positions() -> None:
    """A table may reach further, for tokens of later steps."""
    step = inputs(
        sequence(first=5, length=1, blocks=(1, 2)),
        sequence(first=4, length=4, blocks=(6, 3, 8, 9)),
    )
    (chunk,) = step.chunks
    assert (chunk.first_row, chunk.num_rows, chunk.kv_len) == (1, 4, 8)
    assert chunk.block_table.tolist() == [6, 3]


def test_decodes_of_similar_length_form_a_group() -> None:
    """1 | 2-3 | 4-7 blocks: nobody is padded to twice its length or more."""
    tables = {1: (1,), 2: (2, 3), 3: (4, 5, 6), 4: (7, 8, 9, 10), 7: tuple(range(11, 18))}
    step = inputs(
        *(sequence(first=4 * n - 1, length=1, blocks=table) for n, table in tables.items())
    )
    assert step.chunks == ()
    assert [group.rows.tolist() for group in step.decode_groups] == [[0], [1, 2], [3, 4]]
    middle = step.decode_groups[1]
    assert middle.block_tables.tolist() == [[2, 3, 0], [4, 5, 6]]
    assert middle.kv_ends.tolist() == [8, 12]


def test_every_row_is_attended_exactly_once() -> None:
    """Groups and chunks together cover the step."""
    lengths = [1, 5, 1, 2, 1, 1]
    step = inputs(
        *(
            sequence(first=idx, length=length, blocks=tuple(range(1, 5)))
            for idx, length in enumerate(lengths)
        )
    )
    rows = [group.rows for group in step.decode_groups]
    rows += [np.arange(chunk.first_row, chunk.first_row + chunk.num_rows) for chunk in step.chunks]
    assert sorted(np.concatenate(rows).tolist()) == list(range(sum(lengths)))
