"""BERT's layers, which BERT, RoBERTa and XLM-RoBERTa share, and how a family is made around them.

All are FMS's RoBERTa without a padding token: the table of positions is kept whole and the caller
says who stands where (`encoder_inputs`). FMS's own way cuts two rows off whatever the padding is,
and gives padding no position at all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from engine_svc.core.models.config_fields import Field
from engine_svc.core.models.config_values import Json
from engine_svc.core.models.encoder_config import encoder_of
from engine_svc.core.models.encoder_heads import Head
from engine_svc.core.models.family import Family, Shape, Task, Tensors
from engine_svc.core.models.fms_model import adapted, common_fields
from engine_svc.core.models.geometry import Geometry
from engine_svc.core.models.weights_layout import linears

if TYPE_CHECKING:
    from torch import nn

POSITION_IDS = "embeddings.position_ids"
_FMS_PREFIX = "bert."


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """One kind of checkpoint with BERT's layers."""

    model_type: str
    fields: Mapping[str, Field]
    read: Callable[[Json], Geometry]


def encoder_family(architecture: str, body: Body, head: Head, *, prefix: str) -> Family:
    """The family of one body with one head.

    Args:
        architecture: the class in config.json.
        body: its layers.
        head: what is behind them.
        prefix: what the names of the body's tensors begin with; a plain model has none.
    """
    return Family(
        task=Task.ENCODER,
        architecture=architecture,
        model_type=body.model_type,
        fields=body.fields,
        read=lambda config: head.settle(config, body.read(config)),
        tensors=partial(_tensors, head, prefix),
        build=partial(_build, head),
        convert=partial(_convert, head, prefix),
        name_of=name_of,
        spare=partial(_spare, head, prefix),
        embedding=f"{prefix}embeddings.word_embeddings.weight",
        head=head.decoder,
        layer_prefix=f"{prefix}encoder.layer.",
    )


def name_of(name: str) -> str:
    """Norms had their parameters' names from another library."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace(
        "LayerNorm.beta", "LayerNorm.bias"
    )


def _tensors(head: Head, prefix: str, geometry: Geometry) -> dict[str, Shape]:
    behind = {name: shape for name, (_, shape) in head.tensors(geometry).items()}
    return {f"{prefix}{name}": shape for name, shape in _body(geometry).items()} | behind


def _body(geometry: Geometry) -> dict[str, Shape]:
    width = geometry.hidden_size
    tensors: dict[str, Shape] = {
        "embeddings.word_embeddings.weight": (geometry.vocab_size, width),
        "embeddings.position_embeddings.weight": (geometry.max_position_embeddings, width),
        "embeddings.token_type_embeddings.weight": (encoder_of(geometry).num_token_types, width),
        **linears({"embeddings.LayerNorm": (width,)}, has_bias=True),
    }
    for idx in range(geometry.num_layers):
        tensors |= {f"encoder.layer.{idx}.{name}": shape for name, shape in _layer(geometry)}
    return tensors


def _layer(geometry: Geometry) -> list[tuple[str, Shape]]:
    width, inner = geometry.hidden_size, geometry.intermediate_size
    weights: dict[str, Shape] = {
        "attention.self.query": (width, width),
        "attention.self.key": (width, width),
        "attention.self.value": (width, width),
        "attention.output.dense": (width, width),
        "attention.output.LayerNorm": (width,),
        "intermediate.dense": (inner, width),
        "output.dense": (width, inner),
        "output.LayerNorm": (width,),
    }
    return list(linears(weights, has_bias=True).items())


def _spare(head: Head, prefix: str, geometry: Geometry) -> dict[str, Shape]:
    """What the head leaves, pre-training's pooler, and the first years' table of counts."""
    pooler = linears({f"{prefix}pooler.dense": (geometry.hidden_size,) * 2}, has_bias=True)
    counts: dict[str, Shape] = {f"{prefix}{POSITION_IDS}": (1, geometry.max_position_embeddings)}
    return pooler | counts | head.spare(geometry)


def _build(head: Head, geometry: Geometry) -> "nn.Module":
    from fms.models.roberta import RoBERTaClassificationConfig

    encoder = encoder_of(geometry)
    # Keyword arguments of FMS's untyped config classes.
    fields: dict[str, Any] = common_fields(geometry) | {"pad_id": None}
    max_pos = fields.pop("max_expected_seq_len")
    return head.model(
        RoBERTaClassificationConfig(
            **fields,
            max_pos=max_pos,
            norm_eps=geometry.norm_eps,
            type_vocab_size=encoder.num_token_types,
            num_classes=encoder.num_labels,
        )
    )


def _convert(
    head: Head, prefix: str, tensors: Tensors, geometry: Geometry, _: "nn.Module"
) -> Tensors:
    from fms.models.roberta import RoBERTaConfig

    names = head.tensors(geometry)
    body = {
        _FMS_PREFIX + name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name not in names
    }
    behind = {names[name][0]: tensor for name, tensor in tensors.items() if name in names}
    return adapted("bert", body, RoBERTaConfig()) | behind
