"""How many KV blocks there are: pure arithmetic, refused early, told in numbers."""

import math
from dataclasses import dataclass

from engine_svc.core.errors import StartupError
from engine_svc.core.kv_cache.block_pool import blocks_for
from steeple_rpc.sizes import bytes_text

DEFAULT_SHARE = 0.4
DEFAULT_MAX_BYTES = 4 << 30

_ROUND = ((8192, 1024), (2048, 256), (64, 64))
"""From so many tokens on, lengths are told in such steps."""
_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRequest:
    """What is wanted of the KV cache."""

    available_bytes: int
    """Memory of this machine that is free once the weights are loaded."""
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
    num_blocks: int | None = None
    """So many, whatever their size; goes before the others."""
    is_in_host_memory: bool = True
    """Whether the cache lies in the memory that `available_bytes` tells of."""


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
    num_blocks = request.num_blocks or min(budget // block_bytes, useful)
    fitting_len = min(wanted_len, num_blocks * request.block_size)
    if fitting_len < wanted_len and (request.max_model_len or fitting_len == 0):
        raise StartupError(_too_small(request, wanted_len, fitting_len))
    if request.is_in_host_memory and num_blocks * block_bytes > request.available_bytes:
        raise StartupError(_too_large(request, num_blocks * block_bytes))
    return MemoryPlan(
        num_blocks=num_blocks,
        block_size=request.block_size,
        max_model_len=fitting_len,
        kv_cache_bytes=num_blocks * block_bytes,
        was_shrunk=fitting_len < wanted_len,
    )


def _budget_bytes(request: MemoryRequest) -> int:
    if request.num_blocks is not None:
        return request.num_blocks * request.block_size * request.kv_bytes_per_token
    if request.kv_cache_bytes is not None:
        return request.kv_cache_bytes
    if request.kv_cache_share is not None:
        return int(request.available_bytes * request.kv_cache_share)
    return min(int(request.available_bytes * DEFAULT_SHARE), DEFAULT_MAX_BYTES)


def _too_small(request: MemoryRequest, wanted: int, fitting: int) -> str:
    needed = blocks_for(wanted, request.block_size) * request.block_size
    needed_bytes = needed * request.kv_bytes_per_token
    remedies = [f"lower --max-model-len to {_rounded(fitting):,}"] if fitting else []
    if needed_bytes <= request.available_bytes or not request.is_in_host_memory:
        remedies.append(_more(request, needed_bytes))
    else:
        remedies.append(f"free memory: {bytes_text(request.available_bytes)} are free in all")
    return (
        f"one request of {wanted:,} tokens needs {bytes_text(needed_bytes)} of KV cache, and it has"
        f" {bytes_text(_budget_bytes(request))}: {', or '.join(remedies)}"
    )


def _more(request: MemoryRequest, needed_bytes: int) -> str:
    """The option that sizes the cache, with what it must at least be."""
    if request.num_blocks is not None:
        block_bytes = request.block_size * request.kv_bytes_per_token
        return f"raise --num-blocks to {needed_bytes // block_bytes:,}"
    limit = request.available_bytes if request.is_in_host_memory else None
    enough = _rounded_up(needed_bytes, limit)
    if request.kv_cache_share is not None:
        # Two sizes of one cache are refused.
        return f"pass --kv-cache-bytes {enough} for --kv-cache-share"
    return f"raise --kv-cache-bytes to {enough}"


def _too_large(request: MemoryRequest, kv_cache_bytes: int) -> str:
    option = "--kv-cache-bytes" if request.num_blocks is None else "--num-blocks"
    return (
        f"{option}: a KV cache of {bytes_text(kv_cache_bytes)} does not fit, as"
        f" {bytes_text(request.available_bytes)} are free: lower it"
    )


def _rounded(length: int) -> int:
    """A round number of tokens below: memory may be a little scarcer the next time.

    A multiple of 64 wherever there is one, as the Spyre policies need it.
    """
    step = next((step for least, step in _ROUND if length >= least), 1)
    return length // step * step


def _rounded_up(num_bytes: int, limit: int | None) -> str:
    """A round number above, in the largest unit that does not carry it beyond the limit."""
    for unit, name in _UNITS:
        tenths = math.ceil(num_bytes * 10 / unit)
        if num_bytes >= unit and (limit is None or tenths * unit <= limit * 10):
            return f"{tenths / 10:.1f}".removesuffix(".0") + name
    return str(num_bytes)
