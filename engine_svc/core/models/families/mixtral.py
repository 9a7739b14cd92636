"""Mixtral: Mistral with experts. FMS knows its first layout of weights only, so they are put here.

FMS's conversion of Mistral does what is not of the experts, which it does not know.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from engine_svc.core.models.config_fields import ROTATING, mend, only, refuse, serve, unused
from engine_svc.core.models.config_values import Json, fail, positive_int
from engine_svc.core.models.family import Family, Shape, Task, Tensors
from engine_svc.core.models.fms_model import adapted
from engine_svc.core.models.geometry import Experts, Geometry
from engine_svc.core.models.rotating_config import read_rotating
from engine_svc.core.models.weights_layout import around_layers, attention_tensors

if TYPE_CHECKING:
    import torch
    from torch import nn

_EXPERTS = "block_sparse_moe.experts."
_GATE = "block_sparse_moe.gate.weight"


def _read(config: Json) -> Geometry:
    positive_int(config, "num_key_value_heads")  # its default differs from version to version
    experts = Experts(
        total=positive_int(config, "num_local_experts"),
        per_token=positive_int(config, "num_experts_per_tok"),
    )
    if experts.per_token > experts.total:
        fail("num_experts_per_tok", experts.per_token, "be at most num_local_experts")
    return replace(read_rotating(config), experts=experts)


def _tensors(geometry: Geometry) -> dict[str, Shape]:
    width, inner, total = geometry.hidden_size, geometry.intermediate_size, _experts(geometry).total
    shapes: dict[str, Shape] = {"w1": (inner, width), "w2": (width, inner), "w3": (inner, width)}
    experts = {
        f"{_EXPERTS}{idx}.{name}.weight": shape
        for idx in range(total)
        for name, shape in shapes.items()
    }
    gate: dict[str, Shape] = {_GATE: (total, width)}
    return around_layers(geometry, attention_tensors(geometry) | gate | experts)


def _build(geometry: Geometry) -> "nn.Module":
    from fms.models.mixtral import Mixtral, MixtralConfig

    experts = _experts(geometry)
    model: nn.Module = Mixtral(
        MixtralConfig(
            src_vocab_size=geometry.vocab_size,
            dim=geometry.hidden_size,
            norm_eps=geometry.norm_eps,
            nheads=geometry.num_heads,
            kvheads=geometry.num_kv_heads,
            nlayers=geometry.num_layers,
            hidden_dim=geometry.intermediate_size,
            num_experts=experts.total,
            top_k_experts=experts.per_token,
            max_expected_seq_len=geometry.max_position_embeddings,
        )
    )
    return model


def _convert(tensors: Tensors, geometry: Geometry, _: "nn.Module") -> Tensors:
    from fms.models.mistral import MistralConfig

    others = {name: tensor for name, tensor in tensors.items() if _EXPERTS not in name}
    converted = adapted("mistral", others, MistralConfig(head_dim=geometry.head_dim))
    named = {
        name.replace("block_sparse_moe.gate", "ff_sub_layer.gate"): tensor
        for name, tensor in converted.items()
    }
    gates = [name.removesuffix(_GATE) for name in tensors if name.endswith(_GATE)]
    for prefix in gates:
        named |= _stacked(tensors, prefix, _experts(geometry).total)
    return named


def _stacked(tensors: Tensors, prefix: str, total: int) -> Tensors:
    """One layer's experts: [experts, 2 * inner, width] and [experts, width, inner]."""
    import torch

    def weight(idx: int, name: str) -> "torch.Tensor":
        return tensors[f"{prefix}{_EXPERTS}{idx}.{name}.weight"]

    inputs = [torch.cat([weight(idx, "w1"), weight(idx, "w3")]) for idx in range(total)]
    outputs = [weight(idx, "w2") for idx in range(total)]
    target = f"base_{prefix}ff_sub_layer.cond_ffn."
    return {f"{target}w13": torch.stack(inputs), f"{target}w2": torch.stack(outputs)}


def _experts(geometry: Geometry) -> Experts:
    assert geometry.experts is not None  # noqa: S101 - `_read` gave them
    return geometry.experts


def _is_plain_head_dim(value: Any, config: Json) -> bool:
    heads, hidden = config.get("num_attention_heads"), config.get("hidden_size")
    if value is None:
        return True
    return all(type(one) is int for one in (value, heads, hidden)) and value * heads == hidden


MIXTRAL = Family(
    task=Task.DECODER,
    architecture="MixtralForCausalLM",
    model_type="mixtral",
    fields=dict(ROTATING)
    | mend("num_key_value_heads", "FMS takes 8 whatever the file says")
    | mend("num_local_experts", "their weights are stacked here; FMS does not know their names")
    | mend("sliding_window", "no request grows beyond the window: the context ends there")
    | serve("intermediate_size", "num_experts_per_tok")
    | refuse("head_dim", "it must be hidden_size / num_attention_heads", _is_plain_head_dim)
    | refuse("tie_word_embeddings", "FMS's head is its own", only((None, False)))
    | unused("of the training", "output_router_logits", "router_aux_loss_coef")
    | unused("of the training", "router_jitter_noise"),
    read=_read,
    tensors=_tensors,
    build=_build,
    convert=_convert,
)
