"""Reads the configuration that decoders with a rotation and gated MLPs share."""

from engine_svc.core.models.config_values import (
    Json,
    fail,
    flag,
    positive_int,
    positive_number,
)
from engine_svc.core.models.geometry import Geometry, Multipliers
from engine_svc.core.models.rope import read_rope


def read_rotating(config: Json) -> Geometry:
    """The geometry of a configuration in Llama's words; what it does not say is as in Llama.

    Raises:
        StartupError: a field is missing, of the wrong kind, or does not fit the others.
    """
    num_heads = positive_int(config, "num_attention_heads")
    return Geometry(
        vocab_size=positive_int(config, "vocab_size"),
        hidden_size=positive_int(config, "hidden_size"),
        intermediate_size=positive_int(config, "intermediate_size"),
        num_layers=positive_int(config, "num_hidden_layers"),
        num_heads=num_heads,
        num_kv_heads=positive_int(config, "num_key_value_heads", num_heads),
        head_dim=_head_dim(config),
        max_position_embeddings=positive_int(config, "max_position_embeddings"),
        norm_eps=positive_number(config, "rms_norm_eps"),
        rope=read_rope(config),
        has_tied_embeddings=flag(config, "tie_word_embeddings"),
        has_attention_bias=flag(config, "attention_bias"),
        has_mlp_bias=flag(config, "mlp_bias"),
    )


def read_multipliers(config: Json) -> Multipliers:
    """Granite's four scalars.

    Raises:
        StartupError: one is not a positive number.
    """
    return Multipliers(
        attention=positive_number(config, "attention_multiplier", 1.0),
        embedding=positive_number(config, "embedding_multiplier", 1.0),
        logits_divisor=positive_number(config, "logits_scaling", 1.0),
        residual=positive_number(config, "residual_multiplier", 1.0),
    )


def _head_dim(config: Json) -> int:
    hidden, heads = (positive_int(config, name) for name in ("hidden_size", "num_attention_heads"))
    if config.get("head_dim") is None and hidden % (2 * heads):
        fail("hidden_size", hidden, "be an even multiple of num_attention_heads")
    return positive_int(config, "head_dim", hidden // heads)
