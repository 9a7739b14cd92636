"""Rotary positions as config.json describes them, in the layouts of transformers 4 and 5.

Source of the scalings: transformers' modeling_rope_utils at 5.23; YaRN: arXiv 2309.00071.
"""

import math
from dataclasses import dataclass
from typing import Any, NoReturn

from engine_svc.core.errors import StartupError
from engine_svc.core.models.config_values import Json, flag, positive_int, positive_number, shown

DEFAULT_THETA = 10_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearScaling:
    """Every position counts 1 / factor."""

    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Llama3Scaling:
    """Slow frequencies are divided by `factor`, fast ones kept, those between blended."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_positions: int
    """The context of the first training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class YarnScaling:
    """Frequencies are blended by how often they turn in the original context."""

    factor: float
    original_positions: int
    beta_fast: float
    """Turns from which a frequency is kept."""
    beta_slow: float
    """Turns up to which it is divided by `factor`."""
    rounds_range: bool
    """The borders of the blend are whole dimensions."""
    attention_factor: float
    """Scale of the rotated queries and keys."""


Scaling = LinearScaling | Llama3Scaling | YarnScaling


@dataclass(frozen=True, slots=True, kw_only=True)
class Rope:
    """One rotation for all layers, of whole heads."""

    theta: float
    scaling: Scaling | None = None


def read_rope(config: Json) -> Rope:
    """The rotation of a model.

    Raises:
        StartupError: it is of a kind that is not computed, or its fields are not sound.
    """
    name = _layout(config)
    rope = config.get(name)
    if rope is None:
        return Rope(theta=positive_number(config, "rope_theta", DEFAULT_THETA))
    if not isinstance(rope, dict):
        _refuse(name, rope, "it must be an object")
    _check_theta(config, rope)
    theta = positive_number(
        rope, "rope_theta", positive_number(config, "rope_theta", DEFAULT_THETA)
    )
    return Rope(theta=theta, scaling=_scaling(name, rope))


def _layout(config: Json) -> str:
    """Which field holds the scaling; transformers 5 keeps theta and scaling in one object."""
    both = [name for name in ("rope_parameters", "rope_scaling") if config.get(name) is not None]
    if len(both) > 1:
        _refuse("rope_scaling", config["rope_scaling"], "rope_parameters says it too")
    return both[0] if both else "rope_parameters"


def _check_theta(config: Json, rope: Json) -> None:
    theta = config.get("rope_theta")
    if theta is not None and rope.get("rope_theta", theta) != theta:
        _refuse("rope_theta", theta, f"rope_parameters.rope_theta says {rope['rope_theta']}")


def _scaling(name: str, rope: Json) -> Scaling | None:
    kind = rope.get("rope_type", rope.get("type", "default"))
    if not isinstance(kind, str) or kind not in _FIELDS:
        _refuse(f"{name}.rope_type", kind, f"{', '.join(_FIELDS)} are computed")
    for field in sorted(rope.keys() - _FIELDS[kind] - {"rope_theta", "rope_type", "type"}):
        if field != "partial_rotary_factor" or rope[field] not in (None, 1):
            _refuse(f"{name}.{field}", rope[field], f"not of the rotation {kind}, of whole heads")
    return _SCALINGS[kind](rope)


def _linear(rope: Json) -> Scaling:
    return LinearScaling(factor=positive_number(rope, "factor"))


def _llama3(rope: Json) -> Scaling:
    scaling = Llama3Scaling(
        factor=positive_number(rope, "factor"),
        low_freq_factor=positive_number(rope, "low_freq_factor"),
        high_freq_factor=positive_number(rope, "high_freq_factor"),
        original_positions=positive_int(rope, "original_max_position_embeddings"),
    )
    if scaling.low_freq_factor >= scaling.high_freq_factor:
        _refuse("low_freq_factor", scaling.low_freq_factor, "high_freq_factor must be greater")
    return scaling


def _yarn(rope: Json) -> Scaling:
    factor = positive_number(rope, "factor")
    return YarnScaling(
        factor=factor,
        original_positions=positive_int(rope, "original_max_position_embeddings"),
        beta_fast=positive_number(rope, "beta_fast", 32.0),
        beta_slow=positive_number(rope, "beta_slow", 1.0),
        rounds_range=flag(rope, "truncate", default=True),
        attention_factor=positive_number(rope, "attention_factor", _yarn_attention(rope, factor)),
    )


def _yarn_attention(rope: Json, factor: float) -> float:
    if rope.get("mscale") and rope.get("mscale_all_dim"):
        above, below = (positive_number(rope, name) for name in ("mscale", "mscale_all_dim"))
        return _magnitude(factor, above) / _magnitude(factor, below)
    return _magnitude(factor, 1.0)


def _magnitude(factor: float, scale: float) -> float:
    return 1.0 if factor <= 1.0 else 0.1 * scale * math.log(factor) + 1.0


_ORIGINAL = "original_max_position_embeddings"
_FIELDS = {
    "default": frozenset[str](),
    # Stretches only what goes beyond max_position_embeddings, and nothing here ever does.
    "dynamic": frozenset({"factor", _ORIGINAL}),
    "linear": frozenset({"factor"}),
    "llama3": frozenset({"factor", "low_freq_factor", "high_freq_factor", _ORIGINAL}),
    "yarn": frozenset(
        {
            "attention_factor",
            "beta_fast",
            "beta_slow",
            "factor",
            "mscale",
            "mscale_all_dim",
            "truncate",
            _ORIGINAL,
        }
    ),
}
_SCALINGS = {
    "default": lambda _: None,
    "dynamic": lambda _: None,
    "linear": _linear,
    "llama3": _llama3,
    "yarn": _yarn,
}


def _refuse(name: str, value: Any, reason: str) -> NoReturn:
    raise StartupError(
        f"config.json: {name} = {shown(value)} is not served: {reason}; serve another model"
    )
