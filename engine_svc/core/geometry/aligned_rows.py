"""Rows that end in the same last block: each is padded on the left by whole blocks.

        row of 3 blocks  |====|====|==  |        tkv of a row = left pad + its own length
        row of 1 block   |    |    |=== |        tkv of the batch = the longest of them

Source: sendnn-inference's decode preparation and its prediction of the next tkv.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from engine_svc.core.geometry.blocks import BLOCK_SIZE, num_blocks


@dataclass(frozen=True, slots=True)
class AlignedRows:
    """What a set of rows needs; rows are added one by one, in any order."""

    num_rows: int = 0
    num_blocks: int = 0
    """Blocks of the longest row."""
    slack: int = BLOCK_SIZE
    """The fewest empty positions that any row has in its last block."""

    def with_row(self, kv_len: int) -> "AlignedRows":
        """The same with one more row of `kv_len` positions, at least 1."""
        blocks = num_blocks(kv_len)
        return AlignedRows(
            self.num_rows + 1,
            max(self.num_blocks, blocks),
            min(self.slack, blocks * BLOCK_SIZE - kv_len),
        )

    @property
    def tkv(self) -> int:
        """The longest padded row; 0 without rows."""
        return self.num_blocks * BLOCK_SIZE - self.slack if self.num_rows else 0


def aligned(kv_lens: Sequence[int]) -> AlignedRows:
    """The rows of these lengths together."""
    if not kv_lens:
        return AlignedRows()
    return AlignedRows(
        len(kv_lens), num_blocks(max(kv_lens)), min(-kv_len % BLOCK_SIZE for kv_len in kv_lens)
    )


def left_pads(kv_lens: Sequence[int]) -> tuple[int, ...]:
    """Per row: the padding positions that bring its last block to where all others have theirs."""
    lengths = [num_blocks(kv_len) for kv_len in kv_lens]
    longest = max(lengths, default=0)
    return tuple(BLOCK_SIZE * (longest - length) for length in lengths)
