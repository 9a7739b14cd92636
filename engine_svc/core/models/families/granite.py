"""Granite: Llama with four scalars. FMS's model also has what its Llama lacks, a free head size."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from engine_svc.core.models.config_fields import ROTATING, serve
from engine_svc.core.models.config_values import Json
from engine_svc.core.models.family import Family, Task
from engine_svc.core.models.fms_model import fms_converted, rotating_fields
from engine_svc.core.models.geometry import Geometry
from engine_svc.core.models.rotating_config import read_multipliers, read_rotating
from engine_svc.core.models.weights_layout import llama_tensors

if TYPE_CHECKING:
    from torch import nn

MULTIPLIERS = serve(
    "attention_multiplier", "embedding_multiplier", "logits_scaling", "residual_multiplier"
)


def build_granite(geometry: Geometry) -> "nn.Module":
    """FMS's Granite; with multipliers that change nothing it computes a Llama."""
    from fms.models.granite import Granite, GraniteConfig

    multipliers = geometry.multipliers
    scale = multipliers.attention
    model: nn.Module = Granite(
        GraniteConfig(
            **rotating_fields(geometry),
            attn_bias=geometry.has_attention_bias,
            mlp_bias=geometry.has_mlp_bias,
            head_dim=geometry.head_dim,
            attention_multiplier=geometry.head_dim**-0.5 if scale is None else scale,
            embedding_multiplier=multipliers.embedding,
            logits_scaling=multipliers.logits_divisor,
            residual_multiplier=multipliers.residual,
        )
    )
    return model


def _read(config: Json) -> Geometry:
    return replace(read_rotating(config), multipliers=read_multipliers(config))


GRANITE = Family(
    task=Task.DECODER,
    architecture="GraniteForCausalLM",
    model_type="granite",
    fields=dict(ROTATING) | serve("attention_bias", "mlp_bias") | MULTIPLIERS,
    read=_read,
    tensors=llama_tensors,
    build=build_granite,
    convert=partial(fms_converted, "granite"),
)
