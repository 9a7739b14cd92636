"""Granite 4 where it is dense: every layer attends, no experts, positions rotated or none."""

from dataclasses import replace
from functools import partial
from typing import Any

from engine_svc.core.models.config_fields import ROTATING, mend, refuse, serve, unused
from engine_svc.core.models.config_values import Json, fail, positive_int
from engine_svc.core.models.families.granite import MULTIPLIERS, build_granite
from engine_svc.core.models.family import Family, Shape, Task
from engine_svc.core.models.fms_model import fms_converted
from engine_svc.core.models.geometry import Geometry
from engine_svc.core.models.rotating_config import read_multipliers, read_rotating
from engine_svc.core.models.weights_layout import around_layers, attention_tensors

_NO_EXPERTS = "FMS has no experts here"
_ATTENDING = frozenset({"attention", "full_attention"})
_OF_MAMBA = (
    "mamba_chunk_size",
    "mamba_conv_bias",
    "mamba_d_conv",
    "mamba_d_head",
    "mamba_d_state",
    "mamba_expand",
    "mamba_n_groups",
    "mamba_n_heads",
    "mamba_proj_bias",
    "time_step_limit",
)
_OF_EXPERTS = ("num_experts_per_tok", "output_router_logits", "router_aux_loss_coef")


def _read(config: Json) -> Geometry:
    # Left out, either would mean state-space layers or experts.
    for name in ("layer_types", "num_local_experts"):
        if config.get(name) is None:
            fail(name, None, "be given")
    if len(config["layer_types"]) != positive_int(config, "num_hidden_layers"):
        fail("layer_types", config["layer_types"], "name num_hidden_layers layers")
    geometry = read_rotating(config)
    return replace(
        geometry,
        intermediate_size=positive_int(config, "shared_intermediate_size"),
        rope=geometry.rope if config.get("position_embedding_type") == "rope" else None,
        multipliers=read_multipliers(config),
    )


def _tensors(geometry: Geometry) -> dict[str, Shape]:
    width, inner = geometry.hidden_size, geometry.intermediate_size
    mlp: dict[str, Shape] = {
        "shared_mlp.input_linear.weight": (2 * inner, width),
        "shared_mlp.output_linear.weight": (width, inner),
    }
    return around_layers(geometry, attention_tensors(geometry) | mlp)


def _is_all_attention(value: Any, _: Json) -> bool:
    return isinstance(value, list) and all(
        isinstance(layer, str) and layer in _ATTENDING for layer in value
    )


def _is_position_type(value: Any, _: Json) -> bool:
    return value is None or (isinstance(value, str) and value in {"rope", "nope"})


GRANITE_HYBRID = Family(
    task=Task.DECODER,
    architecture="GraniteMoeHybridForCausalLM",
    model_type="granitemoehybrid",
    fields=dict(ROTATING)
    | MULTIPLIERS
    | serve("attention_bias", "shared_intermediate_size")
    | mend("position_embedding_type", "without rotation where it is not rope; FMS always rotates")
    | refuse("layer_types", "only layers of attention are served", _is_all_attention)
    | refuse("num_local_experts", _NO_EXPERTS, lambda value, _: value == 0)
    | refuse("normalization_function", "the norm is rmsnorm", lambda value, _: value == "rmsnorm")
    | unused("of the experts; there are none", "intermediate_size", *_OF_EXPERTS)
    | unused("of the training", "init_method")
    | unused("of the state-space layers; there are none", *_OF_MAMBA),
    read=_read,
    tensors=_tensors,
    build=build_granite,
    convert=partial(fms_converted, "granite_moe_hybrid"),
)
