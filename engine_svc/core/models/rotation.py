"""Gives an FMS model the rotation that its configuration describes.

FMS drops a scaling that it does not find where transformers 4 kept it, and knows neither linear
scaling nor transformers' YaRN. So the frequencies are computed here; FMS tables and applies them.
"""

import math
from typing import Any, assert_never

import torch
from fms.modules.positions import RopeNoScalingImpl
from torch import Tensor, nn

from engine_svc.core.models.geometry import Geometry
from engine_svc.core.models.rope import (
    LinearScaling,
    Llama3Scaling,
    Rope,
    Scaling,
    YarnScaling,
)


def frequencies(rope: Rope, head_dim: int) -> Tensor:
    """Radians per position, [head_dim / 2], in float32 on the CPU."""
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim
    plain = 1.0 / (rope.theta**exponents)
    return plain if rope.scaling is None else _scaled(plain, rope, rope.scaling)


def _scaled(plain: Tensor, rope: Rope, scaling: Scaling) -> Tensor:
    match scaling:
        case LinearScaling():
            return plain / scaling.factor
        case Llama3Scaling():
            kept = _llama3_kept(plain, scaling)
        case YarnScaling():
            kept = _yarn_kept(plain, rope.theta, scaling)
        case _:
            assert_never(scaling)
    return (1 - kept) * plain / scaling.factor + kept * plain


def _llama3_kept(plain: Tensor, scaling: Llama3Scaling) -> Tensor:
    """How much of each frequency is kept, from 0 to 1."""
    turns = scaling.original_positions * plain / (2 * math.pi)
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    return ((turns - low) / (high - low)).clamp(0, 1)


def _yarn_kept(plain: Tensor, theta: float, scaling: YarnScaling) -> Tensor:
    """How much of each frequency is kept, from 0 to 1."""
    dim = 2 * len(plain)

    def border(turns: float) -> float:
        return dim * math.log(scaling.original_positions / (turns * 2 * math.pi)) / _log2(theta)

    low, high = border(scaling.beta_fast), border(scaling.beta_slow)
    if scaling.rounds_range:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    width = high - low or 0.001  # a border without width is a step
    ramp = (torch.arange(len(plain), dtype=torch.float32) - low) / width
    return 1 - ramp.clamp(0, 1)


def _log2(theta: float) -> float:
    return 2 * math.log(theta)


class _Frequencies(RopeNoScalingImpl):
    """Where FMS looks its frequencies up."""

    def __init__(self, values: Tensor, max_positions: int) -> None:
        super().__init__(dim=2 * len(values), orig_max_seq_len=max_positions)
        self._values = values

    # FMS says str and passes a torch.device; the last is for scalings that depend on the length.
    def compute_scaled_freqs(self, device: str, _alpha: int) -> Tensor:
        return self._values.to(device)


def set_rotation(model: nn.Module, geometry: Geometry) -> None:
    """Put the geometry's rotation into a model that has no weights yet, or take all away.

    The attention's scale takes in what YaRN does to queries and keys both.
    """
    decoder: Any = model  # FMS's models are untyped
    rope = geometry.rope
    if rope is not None:
        values = frequencies(rope, geometry.head_dim)
        positions = geometry.max_position_embeddings
        decoder.base_model.rot_emb.rope_scaling = _Frequencies(values, positions)
    for layer in decoder.base_model.layers:
        if rope is None:
            layer.attn.position_encoder = None
        elif isinstance(rope.scaling, YarnScaling):
            scale = layer.attn.scale_factor or geometry.head_dim**-0.5
            layer.attn.scale_factor = scale * rope.scaling.attention_factor**2
