"""Qwen3: Llama with a norm over each head of queries and keys, and perhaps a window."""

from typing import TYPE_CHECKING, Any

from engine_svc.core.models.config_fields import ROTATING, mend, refuse
from engine_svc.core.models.config_values import Json, flag, positive_int
from engine_svc.core.models.family import Family, Shape, Task, Tensors
from engine_svc.core.models.fms_model import fms_converted, rotating_fields
from engine_svc.core.models.geometry import Geometry
from engine_svc.core.models.rotating_config import read_rotating
from engine_svc.core.models.weights_layout import llama_tensors

if TYPE_CHECKING:
    from torch import nn

# FMS renames the weights alone.
_BIASES = {
    "self_attn.q_proj.bias": "attn.in_proj.query.bias",
    "self_attn.k_proj.bias": "attn.in_proj.key.bias",
    "self_attn.v_proj.bias": "attn.in_proj.value.bias",
    "self_attn.o_proj.bias": "attn.dense.bias",
}


def _read(config: Json) -> Geometry:
    for name in ("head_dim", "num_key_value_heads"):  # their defaults are not Llama's
        positive_int(config, name)
    if flag(config, "use_sliding_window"):
        positive_int(config, "sliding_window")
    return read_rotating(config)


def _tensors(geometry: Geometry) -> dict[str, Shape]:
    norms = {
        f"model.layers.{idx}.self_attn.{name}.weight": (geometry.head_dim,)
        for idx in range(geometry.num_layers)
        for name in ("q_norm", "k_norm")
    }
    return llama_tensors(geometry) | norms


def _build(geometry: Geometry) -> "nn.Module":
    from fms.models.qwen3 import Qwen3, Qwen3Config

    model: nn.Module = Qwen3(
        Qwen3Config(
            **rotating_fields(geometry),
            attn_bias=geometry.has_attention_bias,
            head_dim=geometry.head_dim,
        )
    )
    return model


def _convert(tensors: Tensors, geometry: Geometry, model: "nn.Module") -> Tensors:
    renamed = {_with_bias_renamed(name): tensor for name, tensor in tensors.items()}
    return fms_converted("qwen3", renamed, geometry, model)


def _with_bias_renamed(name: str) -> str:
    for theirs, fms in _BIASES.items():
        if name.endswith(theirs):
            return name.removesuffix(theirs) + fms
    return name


def _is_full_or_windowed(value: Any, config: Json) -> bool:
    allowed = {"full_attention"}
    if config.get("use_sliding_window") is True:
        allowed.add("sliding_attention")
    return value is None or (
        isinstance(value, list) and all(isinstance(one, str) and one in allowed for one in value)
    )


def _is_count(value: Any, _: Json) -> bool:
    return value is None or (type(value) is int and value >= 0)


_WINDOW = "no request grows beyond the window: the context ends there"

QWEN3 = Family(
    task=Task.DECODER,
    architecture="Qwen3ForCausalLM",
    model_type="qwen3",
    fields=dict(ROTATING)
    | mend("attention_bias", "FMS leaves the biases out")
    | mend("rope_theta", "FMS takes 1,000,000 whatever the file says")
    | mend("sliding_window", _WINDOW)
    | mend("use_sliding_window", _WINDOW)
    | refuse("layer_types", "a layer attends to all, or to a window", _is_full_or_windowed)
    | refuse("max_window_layers", "must be a count", _is_count),
    read=_read,
    tensors=_tensors,
    build=_build,
    convert=_convert,
)
