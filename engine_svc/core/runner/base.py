"""The seam to the model: every runner executes the same steps and passes one contract suite."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from engine_svc.core.outputs import Layout, RunnerOutput, SchedulerOutput

Progress = Callable[[str, int, int], None]
"""Tells how far loading is: stage, done, total."""


class CacheCorruptError(AssertionError):
    """A step contradicts the cache: the scheduler is wrong, and no request is to blame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerInfo:
    """What a loaded runner needs and offers."""

    name: str
    model_fingerprint: str
    """Equal where the same tokens must come out; see `models.description`."""
    device: str
    dtype: str
    weights_bytes: int
    kv_bytes_per_token: int
    """Over all layers, keys and values."""
    layouts: frozenset[type[Layout]]
    """The layouts that `execute` takes."""


class StepRunner(Protocol):
    """What computes steps. Used by one thread."""

    def execute(self, step: SchedulerOutput) -> RunnerOutput:
        """Run one step. Sequences without `sample` only fill the cache; none at all is fine."""

    def probe(self) -> None:
        """Run a step that writes nothing and belongs to nobody.

        It raises if the runner cannot compute at all.
        """


class ModelRunner(StepRunner, Protocol):
    """Owns the weights, the KV cache and the device. Steps come after `warm_up`."""

    def load(self, progress: Progress) -> None:
        """Read and verify the weights.

        Raises:
            StartupError: the model cannot be served; the message names file, field and remedy.
        """

    def info(self) -> RunnerInfo:
        """What was loaded. Only after `load`."""

    def warm_up(self, *, num_blocks: int, block_size: int, max_num_tokens: int = 1) -> None:
        """Allocate the KV cache, blocks 0 to num_blocks included, and run once.

        Block ids start at 1; block 0 exists and belongs to nobody.

        Args:
            num_blocks: of the cache.
            block_size: positions per block.
            max_num_tokens: of the step to run: as long as the longest that will come.
        """
