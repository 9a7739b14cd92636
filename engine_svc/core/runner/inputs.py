"""A step as arrays: pure arithmetic from the ragged facts, no torch.

The rows of all sequences stand one after the other. Decodes are attended in groups of similar
length, chunks of more tokens one by one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine_svc.core.kv_cache.block_pool import blocks_for
from engine_svc.core.outputs import NO_SLOT, ScheduledSequence

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeGroup:
    """Sequences with one new token each whose block counts differ by less than a factor of two."""

    rows: Ints
    """[num_seqs] their rows in the step."""
    block_tables: Ints
    """[num_seqs, max_blocks] padded with block 0."""
    kv_starts: Ints
    """[num_seqs] the place of position 0 among the places of the blocks."""
    kv_ends: Ints
    """[num_seqs] the place after the new token's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A sequence with several new tokens: the last `num_rows` of its `kv_len` positions."""

    first_row: int
    num_rows: int
    block_table: Ints
    """[num_blocks] exactly those that hold the first kv_len positions."""
    kv_start: int
    """The place of position 0 in the first block."""
    kv_len: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepInputs:
    """What one forward pass needs."""

    token_ids: Ints
    """[num_tokens]"""
    positions: Ints
    """[num_tokens]"""
    stored_rows: Ints
    """[num_stored] the rows whose keys and values are written."""
    slots: Ints
    """[num_stored] where to."""
    begun_blocks: Ints
    """[num_begun] blocks whose first token is written: what an earlier owner left is void."""
    sampled_rows: Ints
    """[num_sampled] last rows of the sequences that want a token, in their order."""
    decode_groups: tuple[DecodeGroup, ...]
    chunks: tuple[Chunk, ...]


def step_inputs(sequences: Sequence[ScheduledSequence], *, block_size: int) -> StepInputs:
    """Lay out the sequences of one step, in their order.

    Args:
        sequences: at least one.
        block_size: positions per block.
    """
    starts = _row_starts(sequences)
    slots = _ints(slot for sequence in sequences for slot in sequence.slot_mapping)
    stored = np.flatnonzero(slots != NO_SLOT)
    positions = _ints(
        position
        for sequence in sequences
        for position in range(sequence.first_position, sequence.next_position)
    )
    is_first_token = (slots % block_size == 0) | (positions == 0)
    return StepInputs(
        token_ids=_ints(token for sequence in sequences for token in sequence.token_ids),
        positions=positions,
        stored_rows=stored,
        slots=slots[stored],
        begun_blocks=slots[stored][is_first_token[stored]] // block_size,
        sampled_rows=_ints(
            start + sequence.num_tokens - 1
            for start, sequence in zip(starts, sequences, strict=True)
            if sequence.sample is not None
        ),
        decode_groups=_decode_groups(sequences, starts, block_size),
        chunks=_chunks(sequences, starts, block_size),
    )


def _row_starts(sequences: Sequence[ScheduledSequence]) -> list[int]:
    lengths = [sequence.num_tokens for sequence in sequences]
    return [0, *np.cumsum(lengths[:-1]).tolist()]


def _chunks(
    sequences: Sequence[ScheduledSequence], starts: Sequence[int], block_size: int
) -> tuple[Chunk, ...]:
    return tuple(
        Chunk(
            first_row=start,
            num_rows=sequence.num_tokens,
            block_table=_ints(_used_blocks(sequence, block_size)),
            kv_start=sequence.block_offset,
            kv_len=sequence.next_position,
        )
        for start, sequence in zip(starts, sequences, strict=True)
        if sequence.num_tokens > 1
    )


def _decode_groups(
    sequences: Sequence[ScheduledSequence], starts: Sequence[int], block_size: int
) -> tuple[DecodeGroup, ...]:
    """Group by the binary length of the block count: padding stays below the work itself."""
    groups: dict[int, list[tuple[int, ScheduledSequence]]] = {}
    for start, sequence in zip(starts, sequences, strict=True):
        if sequence.num_tokens == 1:
            size_class = len(_used_blocks(sequence, block_size)).bit_length()
            groups.setdefault(size_class, []).append((start, sequence))
    return tuple(_decode_group(groups[key], block_size) for key in sorted(groups))


def _decode_group(members: Sequence[tuple[int, ScheduledSequence]], block_size: int) -> DecodeGroup:
    tables = [_used_blocks(sequence, block_size) for _, sequence in members]
    padded = np.zeros((len(tables), max(map(len, tables))), dtype=np.int64)
    for row, table in zip(padded, tables, strict=True):
        row[: len(table)] = table
    return DecodeGroup(
        rows=_ints(start for start, _ in members),
        block_tables=padded,
        kv_starts=_ints(sequence.block_offset for _, sequence in members),
        kv_ends=_ints(sequence.block_offset + sequence.next_position for _, sequence in members),
    )


def _used_blocks(sequence: ScheduledSequence, block_size: int) -> tuple[int, ...]:
    """A table may hold blocks beyond the positions of this step."""
    return sequence.block_table[
        : blocks_for(sequence.block_offset + sequence.next_position, block_size)
    ]


def _ints(values: Iterable[int]) -> Ints:
    return np.fromiter(values, dtype=np.int64)
