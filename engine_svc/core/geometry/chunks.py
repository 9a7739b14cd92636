"""A prompt in chunks of one length, and what a prefix that is cached spares of it.

    chunk 0         chunk 1         chunk 2            chunk_len = 4 blocks, prompt = 9.5 blocks
    |  |  |b0|b1|   |b2|b3|b4|b5|   |b6|b7|b8|b9|      left pad = 2 blocks, right pad < 1 block
     left           cached: b0 … b4 → chunk 0 is skipped; chunk 1 is computed, and its cached
                    blocks b2 … b4 are computed too, but not written: they are thrown away

Source: sendnn-inference's chunking plan and its schedulers' token counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from engine_svc.core.geometry.blocks import BLOCK_SIZE, round_up
from engine_svc.core.params import BlockId

NOWHERE = BlockId(0)
"""The block that takes what is thrown away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkPlan:
    """How one prompt is computed."""

    prompt_len: int
    chunk_len: int
    """Whole blocks."""
    num_hit_blocks: int = 0
    """Blocks at its start that are cached; never with its last token."""

    @property
    def num_chunks(self) -> int:
        """Chunks, the skipped ones included."""
        return -(-self.prompt_len // self.chunk_len)

    @property
    def left_pad(self) -> int:
        """Positions in front of the prompt in chunk 0: whole blocks, less than a chunk."""
        return self.num_chunks * self.chunk_len - round_up(self.prompt_len)

    @property
    def first_chunk(self) -> int:
        """The first chunk that is computed: all before it is cached."""
        return (self.left_pad + self.num_hit_blocks * BLOCK_SIZE) // self.chunk_len

    @property
    def num_usable_blocks(self) -> int:
        """Cached blocks that are not computed again: those of whole chunks."""
        return self.start_of(self.first_chunk) // BLOCK_SIZE

    def start_of(self, chunk: int) -> int:
        """The first prompt position of a chunk."""
        return max(0, chunk * self.chunk_len - self.left_pad)

    def end_of(self, chunk: int) -> int:
        """The prompt position after a chunk."""
        return min(self.prompt_len, self.start_of(chunk + 1))

    def is_last(self, chunk: int) -> bool:
        """Whether the prompt is complete after this chunk."""
        return chunk == self.num_chunks - 1

    def held_after(self, chunk: int) -> int:
        """Positions that the blocks held after a chunk cover.

        The reference counts cached blocks as computed even where their chunk is computed again,
        so its tables run ahead of its chunks by as many blocks as are computed for nothing.
        """
        ahead = BLOCK_SIZE * (self.num_hit_blocks - self.num_usable_blocks)
        return min(self.prompt_len, self.start_of(chunk + 1) + ahead)

    def num_unwritten(self, chunk: int) -> int:
        """Positions at the start of a chunk that are computed again: the cache has them already."""
        if chunk > self.first_chunk:
            return 0
        return BLOCK_SIZE * self.num_hit_blocks - self.start_of(chunk)

    def write_blocks(self, chunk: int, block_table: Sequence[BlockId]) -> tuple[BlockId, ...]:
        """Per block of a chunk, where it is written: NOWHERE for padding and cached blocks."""
        first = (chunk * self.chunk_len - self.left_pad) // BLOCK_SIZE
        first_written = (self.start_of(chunk) + self.num_unwritten(chunk)) // BLOCK_SIZE
        return tuple(
            block_table[idx] if idx >= first_written else NOWHERE
            for idx in range(first, first + self.chunk_len // BLOCK_SIZE)
        )
