"""The keys and values in memory: one pair of tensors per layer, addressed by block."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine_svc.core.params import BlockId


@dataclass(frozen=True, slots=True, kw_only=True)
class KvShape:
    """How large the cache is."""

    num_layers: int
    num_blocks: int
    """Blocks that may be used, ids 1 to num_blocks. Block 0 stays zero: padding reads it."""
    num_kv_heads: int
    block_size: int
    head_dim: int


class KvCache:
    """Owns the keys and values of all layers; zero wherever nothing was written."""

    def __init__(self, shape: KvShape, *, dtype: torch.dtype, device: torch.device) -> None:
        size = (shape.num_blocks + 1, shape.num_kv_heads, shape.block_size, shape.head_dim)
        self.shape = shape
        self.layers: list[tuple[Tensor, Tensor]] = [
            (
                torch.zeros(size, dtype=dtype, device=device),
                torch.zeros(size, dtype=dtype, device=device),
            )
            for _ in range(shape.num_layers)
        ]
        """Per layer keys and values, each [num_blocks + 1, num_kv_heads, block_size, head_dim]."""

    def copy_blocks(self, pairs: Sequence[tuple[BlockId, BlockId]]) -> None:
        """Copy whole blocks (from, to), all read before any is written; targets are distinct."""
        if not pairs:
            return
        device = self.layers[0][0].device
        source, target = torch.tensor(pairs, device=device).T
        for layer in self.layers:
            for cache in layer:
                cache.index_copy_(0, target, cache.index_select(0, source))
