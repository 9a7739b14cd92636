"""How many KV blocks there are: pure arithmetic, refused early, told in numbers."""

from dataclasses import dataclass

from engine_svc.core.errors import StartupError
from engine_svc.core.kv_cache.block_pool import blocks_for

DEFAULT_SHARE = 0.4
DEFAULT_MAX_BYTES = 4 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRequest:
    """What is wanted of the KV cache."""

    available_bytes: int
    """Memory that is free once the weights are loaded."""
    kv_bytes_per_token: int
    block_size: int
    max_num_seqs: int
    model_max_len: int
    """The longest context that the model knows."""
    max_model_len: int | None = None
    """The context asked for; None = as long as the model and the memory allow."""
    kv_cache_bytes: int | None = None
    kv_cache_share: float | None = None
    """Share of the available memory; None = 40 %, at most 4 GiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """What the KV cache becomes."""

    num_blocks: int
    block_size: int
    max_model_len: int
    kv_cache_bytes: int
    was_shrunk: bool
    """max_model_len was unset and the memory allows less than the model."""


def plan_memory(request: MemoryRequest) -> MemoryPlan:
    """Decide the number of blocks and the context.

    Raises:
        StartupError: not even one request of the asked-for length fits.
    """
    wanted_len = request.max_model_len or request.model_max_len
    if wanted_len > request.model_max_len:
        raise StartupError(
            f"--max-model-len {wanted_len} exceeds the model's context of"
            f" {request.model_max_len}: lower it"
        )
    block_bytes = request.kv_bytes_per_token * request.block_size
    budget = _budget_bytes(request)
    useful = request.max_num_seqs * blocks_for(wanted_len, request.block_size)
    num_blocks = min(budget // block_bytes, useful)
    fitting_len = min(wanted_len, num_blocks * request.block_size)
    if fitting_len < wanted_len and (request.max_model_len or fitting_len == 0):
        raise StartupError(_too_small(request, wanted_len, fitting_len, budget))
    return MemoryPlan(
        num_blocks=num_blocks,
        block_size=request.block_size,
        max_model_len=fitting_len,
        kv_cache_bytes=num_blocks * block_bytes,
        was_shrunk=fitting_len < wanted_len,
    )


def _budget_bytes(request: MemoryRequest) -> int:
    if request.kv_cache_bytes is not None:
        return request.kv_cache_bytes
    if request.kv_cache_share is not None:
        return int(request.available_bytes * request.kv_cache_share)
    return min(int(request.available_bytes * DEFAULT_SHARE), DEFAULT_MAX_BYTES)


def _too_small(request: MemoryRequest, wanted: int, fitting: int, budget: int) -> str:
    needed = wanted * request.kv_bytes_per_token
    shorter = f", or serve requests of at most {fitting} tokens" if fitting else ""
    return (
        f"one request of {wanted} tokens needs {needed / 2**20:.1f} MiB of KV cache, and there are"
        f" {budget / 2**20:.1f} MiB: raise --kv-cache-bytes{shorter}"
    )
