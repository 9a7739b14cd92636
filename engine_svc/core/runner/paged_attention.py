"""Attention over a block-wise cache for a ragged batch, registered with FMS as "steeple_paged".

FMS runs one forward pass [1, num_tokens]; each layer stores its new keys and values in the cache
and attends through the block tables. Everything that layers share is prepared once per step.
"""

from dataclasses import dataclass
from typing import Any

import torch
from fms.modules.attention import register_attention_op
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from engine_svc.core.runner.inputs import Chunk, DecodeGroup, Ints, StepInputs

ATTENTION_NAME = "steeple_paged"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decodes:
    rows: Tensor  # [num_seqs]
    block_heads: Tensor  # [num_seqs * num_kv_heads * max_blocks], see _block_heads
    mask: Tensor  # [num_seqs, 1, 1, max_blocks * block_size], 0 or -inf


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chunk:
    rows: slice
    block_heads: Tensor  # [num_kv_heads * num_blocks]
    kv_places: slice
    mask: Tensor | None  # [num_rows, kv_len]; None: the chunk is all there is, plain causal


@dataclass(frozen=True, slots=True, kw_only=True)
class StepAttention:
    """One step's attention as tensors; rides through FMS as one keyword argument."""

    stored_rows: Tensor
    blocks: Tensor
    """[num_stored] the block of each stored row, and the place in it."""
    offsets: Tensor
    begun_blocks: Tensor
    decodes: tuple[_Decodes, ...]
    chunks: tuple[_Chunk, ...]

    @classmethod
    def prepare(cls, inputs: StepInputs, *, cache: Tensor) -> "StepAttention":
        """Put a step on the device of the cache.

        Args:
            inputs: the step.
            cache: the keys or values of any layer: all have the same shape.
        """
        block_size, device = cache.shape[2], cache.device
        return cls(
            stored_rows=_tensor(inputs.stored_rows, device),
            blocks=_tensor(inputs.slots // block_size, device),
            offsets=_tensor(inputs.slots % block_size, device),
            begun_blocks=_tensor(inputs.begun_blocks, device),
            decodes=tuple(_decodes(group, cache) for group in inputs.decode_groups),
            chunks=tuple(_chunk(chunk, cache) for chunk in inputs.chunks),
        )


def _tensor(values: Ints, device: torch.device) -> Tensor:
    return torch.from_numpy(values).to(device)


def _decodes(group: DecodeGroup, cache: Tensor) -> _Decodes:
    num_kv_heads, block_size, device = cache.shape[1], cache.shape[2], cache.device
    starts, ends = (_tensor(x, device)[:, None] for x in (group.kv_starts, group.kv_ends))
    places = torch.arange(group.block_tables.shape[1] * block_size, device=device)
    return _Decodes(
        rows=_tensor(group.rows, device),
        block_heads=_block_heads(_tensor(group.block_tables, device), num_kv_heads),
        mask=_additive((starts <= places) & (places < ends), cache.dtype)[:, None, None],
    )


def _chunk(chunk: Chunk, cache: Tensor) -> _Chunk:
    device = cache.device
    mask = None
    if chunk.num_rows < chunk.kv_len:
        places = torch.arange(chunk.kv_len, device=device)
        mask = _additive(places <= places[-chunk.num_rows :, None], cache.dtype)
    table = _tensor(chunk.block_table, device)[None]
    return _Chunk(
        rows=slice(chunk.first_row, chunk.first_row + chunk.num_rows),
        block_heads=_block_heads(table, cache.shape[1]),
        kv_places=slice(chunk.kv_start, chunk.kv_start + chunk.kv_len),
        mask=mask,
    )


def _additive(visible: Tensor, dtype: torch.dtype) -> Tensor:
    zeros = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return zeros.masked_fill_(~visible, -torch.inf)


def _block_heads(block_tables: Tensor, num_kv_heads: int) -> Tensor:
    """Number the (block, head) pairs of each sequence, head by head.

    One gather by these numbers leaves each head's positions side by side, without a transpose.
    """
    heads = torch.arange(num_kv_heads, device=block_tables.device)
    return (block_tables[:, None, :] * num_kv_heads + heads[:, None]).flatten()


def _gather(cache: Tensor, block_heads: Tensor, num_seqs: int) -> Tensor:
    """[num_seqs, num_kv_heads, num_blocks * block_size, head_dim] of the named blocks."""
    gathered = cache.flatten(0, 1).index_select(0, block_heads)
    return gathered.view(num_seqs, cache.shape[1], -1, cache.shape[3])


# FMS calls with keywords of its own beside ours; the rest is unused.
def _store(
    keys: Tensor,
    values: Tensor,
    key_cache: Tensor | None,
    value_cache: Tensor | None,
    *,
    attention: StepAttention,
    **_: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Write the stored rows of [1, num_tokens, num_kv_heads, head_dim] into the cache."""
    if key_cache is None or value_cache is None:
        raise RuntimeError("paged attention needs a cache: use_cache and past_key_value_states")
    for fresh, cache in ((keys, key_cache), (values, value_cache)):
        # Zero times what an earlier owner left would be NaN if that was not finite.
        cache.index_fill_(0, attention.begun_blocks, 0)
        cache[attention.blocks, :, attention.offsets] = fresh[0].index_select(
            0, attention.stored_rows
        )
    return key_cache, value_cache, key_cache, value_cache


# The order of arguments is FMS's.
def _compute(
    queries: Tensor,
    key_cache: Tensor,
    value_cache: Tensor,
    _num_heads: int,
    num_kv_heads: int,
    _dropout: float,
    scale: float | None,
    *,
    attention: StepAttention,
    **_: Any,
) -> Tensor:
    """Attend [1, num_tokens, num_heads, head_dim] to the cache."""
    # The query heads of a group share their keys: [num_tokens, num_kv_heads, group, head_dim].
    grouped = queries.view(queries.shape[1], num_kv_heads, -1, queries.shape[3])
    out = torch.empty_like(grouped)
    caches = (key_cache, value_cache)
    for decodes in attention.decodes:
        out[decodes.rows] = _attend_decodes(grouped[decodes.rows], caches, decodes, scale)
    for chunk in attention.chunks:
        out[chunk.rows] = _attend_chunk(grouped[chunk.rows], caches, chunk, scale)
    return out.flatten(1, 2)[None]


def _attend_decodes(
    queries: Tensor, caches: tuple[Tensor, Tensor], decodes: _Decodes, scale: float | None
) -> Tensor:
    """[num_seqs, num_kv_heads, group, head_dim]; the group stands where positions usually do."""
    keys, values = (_gather(cache, decodes.block_heads, len(queries)) for cache in caches)
    return scaled_dot_product_attention(queries, keys, values, attn_mask=decodes.mask, scale=scale)


def _attend_chunk(
    queries: Tensor, caches: tuple[Tensor, Tensor], chunk: _Chunk, scale: float | None
) -> Tensor:
    """[num_rows, num_kv_heads, group, head_dim]; heads of keys are repeated as a view only."""
    per_head = queries.permute(1, 2, 0, 3)  # [num_kv_heads, group, num_rows, head_dim]
    keys, values = (
        _gather(cache, chunk.block_heads, 1)[0, :, None, chunk.kv_places].expand(
            -1, per_head.shape[1], -1, -1
        )
        for cache in caches
    )
    attended = scaled_dot_product_attention(
        per_head, keys, values, attn_mask=chunk.mask, is_causal=chunk.mask is None, scale=scale
    )
    return attended.permute(2, 0, 1, 3)


# FMS keeps attention by name for the whole process and refuses a second registration.
register_attention_op(ATTENTION_NAME, _store, _compute)
