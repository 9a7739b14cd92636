"""A batch whose rows all end at one tkv: where a row starts and how many blocks it takes.

    0        left_pad                    tkv            tkv + decodes
    |- - - - - - |=====prompt+output======|- - - - - - - - - |
    |  k whole blocks, cut away |in-block pad|

Rows advance together, so tkv and every left pad move by whole blocks only, and the pad inside a
row's first block never changes. Source: vllm-spyre's continuous batching (0.7 to 1.10), its runner.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from engine_svc.core.geometry.blocks import BLOCK_SIZE, num_blocks, round_down, round_up


def first_tkv(prompt_len: int) -> int:
    """The tkv of a batch that a prompt starts: its first block is filled up on the left."""
    return round_up(prompt_len)


def tkv_with(tkv: int, prompt_len: int) -> int:
    """The tkv once a prompt has joined: moved by whole blocks until the prompt fits below it."""
    return tkv + round_up(max(0, prompt_len - tkv))


def common_cut(left_pads: Iterable[int]) -> int:
    """Positions that are padding in every row, in whole blocks; never computed again."""
    return round_down(min(left_pads))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A row as it joins a batch at `tkv`."""

    prompt_len: int
    tkv: int
    """At least prompt_len."""

    @property
    def left_pad(self) -> int:
        """Padding positions in front of the row."""
        return self.tkv - self.prompt_len

    @property
    def block_offset(self) -> int:
        """Padding positions inside its first block."""
        return self.left_pad % BLOCK_SIZE

    @property
    def query_len(self) -> int:
        """Positions that the prefill computes: whole blocks, the padding ones cut away."""
        return round_up(self.tkv) - round_down(self.left_pad)

    def max_blocks(self, max_tokens: int) -> int:
        """Blocks that the row can come to hold; its last token is never computed."""
        return num_blocks(self.tkv + max_tokens - 1) - self.left_pad // BLOCK_SIZE

    def lone_tkv(self, max_tokens: int) -> int:
        """The longest tkv that the row can come to have once all others have left."""
        return self.block_offset + self.prompt_len + max_tokens - 1
