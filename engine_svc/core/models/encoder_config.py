"""Reads the configuration that encoders share; what becomes of each of its fields."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from engine_svc.core.models.config_fields import EVERYWHERE, Field, only, refuse, serve, unused
from engine_svc.core.models.config_values import Json, fail, positive_int, positive_number
from engine_svc.core.models.geometry import Encoder, Geometry

MAX_LABELS = 1 << 16
DEFAULT_LABELS = 2
ACTIVATIONS = ("gelu", "gelu_pytorch_tanh", "relu")

_HEADS = "num_attention_heads"
_DROPOUTS = ("attention_probs_dropout_prob", "classifier_dropout", "hidden_dropout_prob")
_NO_DECODER = "a token of an encoder attends to all others, and to no second text"


def read_encoder(config: Json, *, pad_id: int) -> Geometry:
    """The geometry of a configuration in BERT's words, its embedding and its head not tied.

    Args:
        config: whose fields are all known.
        pad_id: the token that pads where the configuration names none.

    Raises:
        StartupError: a field is missing, of the wrong kind, or does not fit the others.
    """
    width, num_heads = (positive_int(config, name) for name in ("hidden_size", _HEADS))
    if width % num_heads:
        fail("hidden_size", width, f"be a multiple of {_HEADS}")
    vocab_size = positive_int(config, "vocab_size")
    return Geometry(
        vocab_size=vocab_size,
        hidden_size=width,
        intermediate_size=positive_int(config, "intermediate_size"),
        num_layers=positive_int(config, "num_hidden_layers"),
        num_heads=num_heads,
        num_kv_heads=num_heads,
        head_dim=width // num_heads,
        max_position_embeddings=positive_int(config, "max_position_embeddings"),
        norm_eps=positive_number(config, "layer_norm_eps", 1e-12),
        rope=None,
        activation=config.get("hidden_act", "gelu"),
        has_tied_embeddings=False,
        has_attention_bias=True,
        has_mlp_bias=True,
        encoder=Encoder(
            pad_id=_pad_id(config, pad_id, vocab_size=vocab_size),
            padding_position=None,
            num_token_types=positive_int(config, "type_vocab_size", 2),
            num_labels=_num_labels(config),
        ),
    )


def encoder_of(geometry: Geometry) -> Encoder:
    """What `read_encoder` read beside layers."""
    assert geometry.encoder is not None  # noqa: S101 - `read_encoder` gave it
    return geometry.encoder


def _pad_id(config: Json, default: int, *, vocab_size: int) -> int:
    value = config.get("pad_token_id", default)
    if type(value) is not int or not 0 <= value < vocab_size:
        fail("pad_token_id", value, f"be a token id below {vocab_size}")
    return int(value)


def _num_labels(config: Json) -> int:
    """As many as there are names; old configurations give the number instead."""
    names = config.get("id2label")
    if names is not None and (not isinstance(names, dict) or not names):
        fail("id2label", names, "name at least one label")
    counted = DEFAULT_LABELS if names is None else len(names)
    number = positive_int(config, "num_labels", counted)
    if names is not None and number != counted:
        fail("num_labels", number, f"be {counted}, as many as id2label names")
    if number > MAX_LABELS:
        fail("num_labels", number, f"be at most {MAX_LABELS}")
    return number


def _is_activation(value: Any, _: Json) -> bool:
    return isinstance(value, str) and value in ACTIVATIONS


ENCODING: Mapping[str, Field] = MappingProxyType(
    dict(EVERYWHERE)
    | serve(
        "hidden_size",
        "id2label",
        "intermediate_size",
        "layer_norm_eps",
        "max_position_embeddings",
        "num_attention_heads",
        "num_hidden_layers",
        "num_labels",
        "pad_token_id",
        "vocab_size",
    )
    | refuse("add_cross_attention", _NO_DECODER, only((None, False)))
    | refuse("hidden_act", f"{', '.join(ACTIVATIONS)} are computed", _is_activation)
    | refuse("is_decoder", _NO_DECODER, only((None, False)))
    | refuse("is_encoder_decoder", _NO_DECODER, only((None, False)))
    | unused("nothing is dropped", *_DROPOUTS)
    | unused("names for people", "label2id")
    | unused("of the training", "gradient_checkpointing", "output_past", "problem_type")
)
"""Fields of the encoders."""
