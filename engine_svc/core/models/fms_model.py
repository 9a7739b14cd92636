"""Builds the FMS model of a geometry, on the meta device: shapes without memory."""

import math
from typing import Any

import torch
from fms.models.granite import Granite, GraniteConfig
from fms.models.llama import LLaMA, LLaMAConfig
from torch import nn

from engine_svc.core.models.geometry import Geometry

GRANITE = "granite"
LLAMA = "llama"


def build_fms_model(geometry: Geometry) -> nn.Module:
    """The model without weights; every parameter is on the meta device."""
    with torch.device("meta"):
        model: nn.Module
        if geometry.family.fms_architecture == GRANITE:
            model = Granite(GraniteConfig(**_granite_fields(geometry)))
        else:
            model = LLaMA(LLaMAConfig(**_common_fields(geometry)))
    return model


# Keyword arguments of FMS's untyped config classes.
def _common_fields(geometry: Geometry) -> dict[str, Any]:
    return {
        "src_vocab_size": geometry.vocab_size,
        "emb_dim": geometry.hidden_size,
        "norm_eps": geometry.rms_norm_eps,
        "nheads": geometry.num_heads,
        "kvheads": geometry.num_kv_heads,
        "nlayers": geometry.num_layers,
        "hidden_grow_factor": grow_factor(
            inner=geometry.intermediate_size, width=geometry.hidden_size
        ),
        "multiple_of": 1,
        "activation_fn": "silu",
        "p_dropout": 0.0,
        # The table of rotations has this many rows and is never extended.
        "max_expected_seq_len": geometry.max_position_embeddings,
        "attn_bias": geometry.has_attention_bias,
        "mlp_bias": geometry.has_mlp_bias,
        "tie_heads": geometry.has_tied_embeddings,
        "rope_theta": geometry.rope_theta,
    }


def _granite_fields(geometry: Geometry) -> dict[str, Any]:
    multipliers = geometry.multipliers
    return _common_fields(geometry) | {
        "head_dim": geometry.head_dim,
        "attention_multiplier": multipliers.attention,
        "embedding_multiplier": multipliers.embedding,
        "logits_scaling": multipliers.logits_divisor,
        "residual_multiplier": multipliers.residual,
    }


def grow_factor(*, inner: int, width: int) -> float:
    """The factor f for which FMS's own int(f * width) is `inner`: plain division can fall short."""
    factor = inner / width
    while int(factor * width) < inner:
        factor = math.nextafter(factor, math.inf)
    return factor
