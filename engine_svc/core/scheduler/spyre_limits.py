"""What both Spyre policies ask of their bounds."""

from dataclasses import replace

from engine_svc.core.errors import StartupError
from engine_svc.core.geometry.blocks import BLOCK_SIZE, round_down
from engine_svc.core.scheduler.base import Bounds, SchedulerConfig

MAX_PROMPTS_IN_A_ROW = 64
"""Prompts that begin before those who decode get their turn: some end at once and take no seat."""
MAX_VOLUME = (1 << 32) - 1
"""As the contract tells it."""


def settle_spyre(wanted: Bounds) -> Bounds:
    """Blocks of 64 and a context of whole blocks; see `SchedulerFactory.settle`."""
    if wanted.block_size not in {None, BLOCK_SIZE}:
        raise StartupError(
            f"--block-size {wanted.block_size}: the Spyre policies need {BLOCK_SIZE}: leave it out"
        )
    length, longest = wanted.max_model_len, round_down(wanted.model_max_len)
    if length is not None and length > wanted.model_max_len:
        raise StartupError(
            f"--max-model-len {length} exceeds the model's context of {wanted.model_max_len}: take"
            f" {longest}"
        )
    if length is not None and length % BLOCK_SIZE:
        raise StartupError(
            f"--max-model-len {length} must be a multiple of {BLOCK_SIZE} with this policy: take"
            f" {max(BLOCK_SIZE, round_down(length))}"
        )
    if longest == 0:
        raise StartupError(
            f"the model's context of {wanted.model_max_len} is below a block of {BLOCK_SIZE}:"
            " choose --scheduler continuous"
        )
    return replace(wanted, block_size=BLOCK_SIZE, model_max_len=longest)


def max_batch_tkv(config: SchedulerConfig) -> int:
    """Most of rows * tkv in a decode step. Source: vllm-spyre's default for unlisted models."""
    limit = config.options.max_batch_tkv
    most = config.max_num_seqs * config.max_model_len if limit is None else limit
    return min(most, MAX_VOLUME)


def check_room(config: SchedulerConfig) -> None:
    """Refuse bounds within which no request can run.

    Raises:
        StartupError: the block size, the pool or the volume is too small.
    """
    if config.block_size != BLOCK_SIZE:
        raise StartupError(f"--block-size {config.block_size}: this policy needs {BLOCK_SIZE}")
    rows = config.options.min_decode_rows
    if config.max_num_seqs < rows:
        raise StartupError(
            f"--max-num-seqs {config.max_num_seqs} is below --min-decode-rows {rows}: raise it"
        )
    if max_batch_tkv(config) < rows * BLOCK_SIZE:
        raise StartupError(
            f"--max-batch-tkv {max_batch_tkv(config)} is below {rows} rows of one block: raise it"
        )


def check_chunk(chunk_len: int) -> None:
    """Refuse a chunk that is not whole blocks.

    Raises:
        StartupError: names the nearest length that would do.
    """
    if chunk_len % BLOCK_SIZE:
        raise StartupError(
            f"--max-num-batched-tokens {chunk_len}: the length of a chunk must be a multiple of"
            f" {BLOCK_SIZE}: take {max(BLOCK_SIZE, round_down(chunk_len))}"
        )
