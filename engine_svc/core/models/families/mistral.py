"""Mistral: Llama without biases, and with a window beyond which nothing is attended to."""

from functools import partial
from typing import TYPE_CHECKING

from engine_svc.core.models.config_fields import ROTATING, mend
from engine_svc.core.models.config_values import Json, positive_int
from engine_svc.core.models.family import Family, Task
from engine_svc.core.models.fms_model import fms_converted, rotating_fields
from engine_svc.core.models.geometry import Geometry
from engine_svc.core.models.rotating_config import read_rotating
from engine_svc.core.models.weights_layout import llama_tensors

if TYPE_CHECKING:
    from torch import nn


def _read(config: Json) -> Geometry:
    positive_int(config, "num_key_value_heads")  # its default differs from version to version
    if config.get("sliding_window") is not None:
        positive_int(config, "sliding_window")
    return read_rotating(config)


def _build(geometry: Geometry) -> "nn.Module":
    from fms.models.mistral import Mistral, MistralConfig

    model: nn.Module = Mistral(
        MistralConfig(**rotating_fields(geometry), head_dim=geometry.head_dim)
    )
    return model


MISTRAL = Family(
    task=Task.DECODER,
    architecture="MistralForCausalLM",
    model_type="mistral",
    fields=dict(ROTATING)
    | mend("sliding_window", "no request grows beyond the window: the context ends there"),
    read=_read,
    tensors=llama_tensors,
    build=_build,
    convert=partial(fms_converted, "mistral"),
)
