"""Llama, 2 and 3, and the many models with its shape."""

from functools import partial
from typing import TYPE_CHECKING

from engine_svc.core.models.config_fields import ROTATING, serve
from engine_svc.core.models.families.granite import build_granite
from engine_svc.core.models.family import Family, Task
from engine_svc.core.models.fms_model import fms_converted, rotating_fields
from engine_svc.core.models.geometry import Geometry
from engine_svc.core.models.rotating_config import read_rotating
from engine_svc.core.models.weights_layout import llama_tensors

if TYPE_CHECKING:
    from torch import nn


def _build(geometry: Geometry) -> "nn.Module":
    from fms.models.llama import LLaMA, LLaMAConfig

    # FMS's LLaMA has no head size of its own.
    if geometry.attention_width != geometry.hidden_size:
        return build_granite(geometry)
    model: nn.Module = LLaMA(
        LLaMAConfig(
            **rotating_fields(geometry),
            attn_bias=geometry.has_attention_bias,
            mlp_bias=geometry.has_mlp_bias,
        )
    )
    return model


LLAMA = Family(
    task=Task.DECODER,
    architecture="LlamaForCausalLM",
    model_type="llama",
    fields=dict(ROTATING) | serve("attention_bias", "mlp_bias"),
    read=read_rotating,
    tensors=llama_tensors,
    build=_build,
    convert=partial(fms_converted, "llama"),
)
