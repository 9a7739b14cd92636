"""Builds the FMS model of a family on the meta device, and converts weights through FMS."""

import math
from typing import TYPE_CHECKING, Any

from engine_svc.core.models.family import Family, Tensors
from engine_svc.core.models.geometry import Geometry

if TYPE_CHECKING:
    from torch import nn


def build_fms_model(family: Family, geometry: Geometry) -> "nn.Module":
    """The model without weights; every parameter is on the meta device."""
    import torch

    from engine_svc.core.models.rotation import set_rotation

    with torch.device("meta"):
        model = family.build(geometry)
    set_rotation(model, geometry)
    return model


# Keyword arguments of FMS's untyped config classes.
def common_fields(geometry: Geometry) -> dict[str, Any]:
    """What the config classes of all of FMS's decoders call by the same name."""
    return {
        "src_vocab_size": geometry.vocab_size,
        "emb_dim": geometry.hidden_size,
        "nheads": geometry.num_heads,
        "nlayers": geometry.num_layers,
        "hidden_grow_factor": grow_factor(
            inner=geometry.intermediate_size, width=geometry.hidden_size
        ),
        "activation_fn": geometry.activation,
        "p_dropout": 0.0,
        # The table of positions has this many rows and is never extended.
        "max_expected_seq_len": geometry.max_position_embeddings,
        "tie_heads": geometry.has_tied_embeddings,
    }


def rotating_fields(geometry: Geometry) -> dict[str, Any]:
    """The same for decoders with a rotation; its frequencies come from `set_rotation`."""
    return common_fields(geometry) | {
        "norm_eps": geometry.norm_eps,
        "kvheads": geometry.num_kv_heads,
        "multiple_of": 1,
    }


def fms_converted(
    architecture: str, tensors: Tensors, geometry: Geometry, model: "nn.Module"
) -> Tensors:
    """The tensors under FMS's names, in FMS's layout.

    Some of FMS's conversions take a head for emb_dim / nheads wide, so they are told the width of
    all heads together.
    """
    untyped: Any = model
    return adapted(architecture, tensors, untyped.config.updated(emb_dim=geometry.attention_width))


# Configurations of FMS's are untyped.
def adapted(architecture: str, tensors: Tensors, config: Any) -> Tensors:
    """What FMS's conversion of an architecture makes of tensors, with a configuration of FMS's."""
    from fms.utils import serialization

    return dict(serialization.get_adapted(architecture, "hf", tensors, {"model_config": config}))


def grow_factor(*, inner: int, width: int) -> float:
    """The factor f for which FMS's own int(f * width) is `inner`: plain division can fall short."""
    factor = inner / width
    while int(factor * width) < inner:
        factor = math.nextafter(factor, math.inf)
    return factor
