"""The numbers that define a decoder, read from config.json and checked one by one."""

import math
from dataclasses import dataclass
from typing import Any, NoReturn

from engine_svc.core.errors import StartupError
from engine_svc.core.models.config_check import check_config
from engine_svc.core.models.description import Json, ModelDescription
from engine_svc.core.models.registry import Family, family_of

MAX_LAYERS = 1024
_DEFAULT_ROPE_THETA = 10_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Multipliers:
    """Granite's four scalars; a family without them leaves them as they are."""

    attention: float | None = None
    """Scale of the attention scores; None = head_dim ** -0.5."""
    embedding: float = 1.0
    logits_divisor: float = 1.0
    residual: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Everything that decides a decoder's shapes and arithmetic."""

    family: Family
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    max_position_embeddings: int
    rms_norm_eps: float
    rope_theta: float
    has_tied_embeddings: bool
    has_attention_bias: bool
    has_mlp_bias: bool
    multipliers: Multipliers

    @property
    def head_dim(self) -> int:
        """Numbers per attention head."""
        return self.hidden_size // self.num_heads

    def kv_bytes_per_token(self, *, item_bytes: int) -> int:
        """Bytes of keys and values per token, over all layers."""
        return 2 * self.num_layers * self.num_kv_heads * self.head_dim * item_bytes


def read_geometry(description: ModelDescription) -> Geometry:
    """Check the whole of config.json and read the numbers in it.

    Raises:
        StartupError: a field is refused (see `check_config`), missing, of the wrong kind, or does
            not fit the others.
    """
    check_config(description)
    config, family = description.config, family_of(description.architecture)
    num_heads = _positive_int(config, "num_attention_heads")
    geometry = Geometry(
        family=family,
        vocab_size=description.vocab_size,
        hidden_size=_positive_int(config, "hidden_size"),
        intermediate_size=_positive_int(config, "intermediate_size"),
        num_layers=_positive_int(config, "num_hidden_layers"),
        num_heads=num_heads,
        num_kv_heads=_positive_int(config, "num_key_value_heads", num_heads),
        max_position_embeddings=description.max_position_embeddings,
        rms_norm_eps=_positive_number(config, "rms_norm_eps"),
        rope_theta=_rope_theta(config),
        has_tied_embeddings=_bool(config, "tie_word_embeddings"),
        has_attention_bias=_bool(config, "attention_bias"),
        has_mlp_bias=_bool(config, "mlp_bias"),
        multipliers=_multipliers(config, family),
    )
    _check_fit(geometry)
    return geometry


def _check_fit(geometry: Geometry) -> None:
    if geometry.num_layers > MAX_LAYERS:
        _fail("num_hidden_layers", geometry.num_layers, f"be at most {MAX_LAYERS}")
    if geometry.hidden_size % (2 * geometry.num_heads):
        _fail("hidden_size", geometry.hidden_size, "be an even multiple of num_attention_heads")
    if geometry.num_heads % geometry.num_kv_heads:
        _fail("num_key_value_heads", geometry.num_kv_heads, "divide num_attention_heads")


def _multipliers(config: Json, family: Family) -> Multipliers:
    if "attention_multiplier" not in family.imported_fields:
        return Multipliers()
    return Multipliers(
        attention=_positive_number(config, "attention_multiplier", 1.0),
        embedding=_positive_number(config, "embedding_multiplier", 1.0),
        logits_divisor=_positive_number(config, "logits_scaling", 1.0),
        residual=_positive_number(config, "residual_multiplier", 1.0),
    )


def _rope_theta(config: Json) -> float:
    """From either layout; `check_config` has seen that they agree."""
    rope = config.get("rope_parameters") or {}
    if rope.get("rope_theta") is not None:
        return _positive_number(rope, "rope_theta")
    return _positive_number(config, "rope_theta", _DEFAULT_ROPE_THETA)


def _positive_int(config: Json, name: str, default: int | None = None) -> int:
    value = _value(config, name, default)
    if type(value) is not int or value < 1:
        _fail(name, value, "be a positive integer")
    return int(value)


def _positive_number(config: Json, name: str, default: float | None = None) -> float:
    value = _value(config, name, default)
    if type(value) not in (int, float) or not math.isfinite(value) or value <= 0:
        _fail(name, value, "be a positive number")
    return float(value)


def _bool(config: Json, name: str) -> bool:
    value = _value(config, name, default=False)
    if type(value) is not bool:
        _fail(name, value, "be true or false")
    return bool(value)


def _value(config: Json, name: str, default: float | None) -> Any:
    """A JSON value, any kind; null means the default, as in transformers."""
    value = config.get(name)
    return default if value is None else value


def _fail(name: str, value: Any, rule: str) -> NoReturn:
    raise StartupError(f"config.json: {name} = {value!r} must {rule}")
