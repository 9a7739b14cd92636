"""How batches are formed: what the policies can be told. The front knows it too."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Join(Enum):
    """What `spyre_continuous` does with a prompt that is longer than the batch."""

    WAIT = "wait"
    """It waits until the batch has grown past it."""
    SHIFT = "shift"
    """The batch is moved to the right by whole blocks."""


class OverLimit(Enum):
    """How `spyre_chunked` keeps rows * tkv within the limit."""

    PAUSE = "pause"
    """Who fits joins; each decode step leaves out whoever would exceed the limit, in turn."""
    LOOK_AHEAD = "look-ahead"
    """Nobody joins who could exceed the limit later; nobody is ever left out."""


class PauseOrder(Enum):
    """Who decodes first among those that were left out equally long."""

    FEWEST_FIRST = "fewest-first"
    """Whoever has produced the fewest tokens."""
    MOST_FIRST = "most-first"
    """Whoever has produced the most tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupShape:
    """A batch that the device is warmed up for. Source: vllm-spyre's warm-up shapes."""

    prompt_len: int
    new_tokens: int
    batch_size: int

    def __str__(self) -> str:
        return f"{self.prompt_len}:{self.new_tokens}:{self.batch_size}"


def fastest_first(shapes: Iterable[WarmupShape]) -> tuple[WarmupShape, ...]:
    """Shapes by batch size, then prompt; equals as they were given."""
    return tuple(sorted(shapes, key=lambda shape: (shape.batch_size, shape.prompt_len)))


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchingOptions:
    """What only some policies read; each names the policy."""

    shapes: tuple[WarmupShape, ...] = ()
    """`static`: at least one."""
    max_batch_tkv: int | None = None
    """`spyre_*`: most of rows * tkv in a decode step; None = max_num_seqs * max_model_len."""
    min_decode_rows: int = 1
    """`spyre_*`: a smaller batch is filled up with copies of a row: 2 for FP8 models."""
    join: Join = Join.SHIFT
    """`spyre_continuous`"""
    interleave: bool = True
    """`spyre_chunked`: a decode step between two chunks while somebody decodes."""
    over_limit: OverLimit = OverLimit.PAUSE
    """`spyre_chunked`"""
    pause_order: PauseOrder = PauseOrder.FEWEST_FIRST
    """`spyre_chunked`"""
    prefix_caching: bool = True
    """`continuous`, `spyre_chunked`: blocks of earlier requests are found by their tokens."""
