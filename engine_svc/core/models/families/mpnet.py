"""MPNet: BERT's layers with a bias for the distance of two tokens; the plain model alone.

FMS computes hidden states and their pooling, no logits.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from engine_svc.core.models.config_fields import only, refuse, unused
from engine_svc.core.models.config_values import Json
from engine_svc.core.models.encoder_body import POSITION_IDS, name_of
from engine_svc.core.models.encoder_config import ENCODING, encoder_of, read_encoder
from engine_svc.core.models.families.roberta import behind_padding
from engine_svc.core.models.family import Family, Shape, Task, Tensors
from engine_svc.core.models.fms_model import adapted, common_fields
from engine_svc.core.models.geometry import Geometry
from engine_svc.core.models.weights_layout import linears

if TYPE_CHECKING:
    from torch import nn

_NUM_BUCKETS = 32
_PAD_ID = 1


def _read(config: Json) -> Geometry:
    geometry = behind_padding(read_encoder(config, pad_id=_PAD_ID))
    return replace(geometry, encoder=replace(encoder_of(geometry), num_token_types=0))


def _tensors(geometry: Geometry) -> dict[str, Shape]:
    width = geometry.hidden_size
    tensors: dict[str, Shape] = {
        "embeddings.word_embeddings.weight": (geometry.vocab_size, width),
        "embeddings.position_embeddings.weight": (geometry.max_position_embeddings, width),
        "encoder.relative_attention_bias.weight": (_NUM_BUCKETS, geometry.num_heads),
        **linears({"embeddings.LayerNorm": (width,), "pooler.dense": (width,) * 2}, has_bias=True),
    }
    for idx in range(geometry.num_layers):
        tensors |= {f"encoder.layer.{idx}.{name}": shape for name, shape in _layer(geometry)}
    return tensors


def _layer(geometry: Geometry) -> list[tuple[str, Shape]]:
    width, inner = geometry.hidden_size, geometry.intermediate_size
    weights: dict[str, Shape] = {
        "attention.attn.q": (width, width),
        "attention.attn.k": (width, width),
        "attention.attn.v": (width, width),
        "attention.attn.o": (width, width),
        "attention.LayerNorm": (width,),
        "intermediate.dense": (inner, width),
        "output.dense": (width, inner),
        "output.LayerNorm": (width,),
    }
    return list(linears(weights, has_bias=True).items())


def _spare(geometry: Geometry) -> dict[str, Shape]:
    return {POSITION_IDS: (1, geometry.max_position_embeddings)}


def _build(geometry: Geometry) -> "nn.Module":
    from fms.models.mpnet import Mpnet, MpnetConfig

    model: nn.Module = Mpnet(
        MpnetConfig(
            **common_fields(geometry),
            hidden_dropout_prob=0.0,
            layer_norm_eps=geometry.norm_eps,
            relative_attention_num_buckets=_NUM_BUCKETS,
            pad_id=encoder_of(geometry).pad_id,
        )
    )
    return model


def _convert(tensors: Tensors, _: Geometry, __: "nn.Module") -> Tensors:
    from fms.models.mpnet import MpnetConfig

    return adapted("mpnet", tensors, MpnetConfig())


MPNET = Family(
    task=Task.ENCODER,
    architecture="MPNetModel",
    model_type="mpnet",
    fields=dict(ENCODING)
    | refuse("pad_token_id", "positions begin behind 1", only((_PAD_ID,)))
    | refuse(
        "relative_attention_num_buckets",
        f"distances fall into {_NUM_BUCKETS} kinds",
        only((_NUM_BUCKETS,)),
    )
    | unused("tokens have no types", "type_vocab_size")
    | unused("there is no head", "tie_word_embeddings"),
    read=_read,
    tensors=_tensors,
    build=_build,
    convert=_convert,
    name_of=name_of,
    spare=_spare,
    embedding="embeddings.word_embeddings.weight",
    layer_prefix="encoder.layer.",
)
