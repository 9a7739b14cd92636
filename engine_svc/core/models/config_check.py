"""Decides from config.json alone whether FMS computes what the model's maker meant.

FMS ignores fields that it does not know, and a model imported that way answers nonsense without a
word. So every field is imported, known not to change the result, neutral in value, or refused.
"""

from typing import Any, NoReturn

from engine_svc.core.errors import StartupError
from engine_svc.core.models.config_fields import CONDITIONS, WITHOUT_EFFECT
from engine_svc.core.models.description import Json, ModelDescription
from engine_svc.core.models.registry import family_of

_NEUTRAL_ROPE_PARAMETERS = frozenset({"partial_rotary_factor", "rope_theta", "rope_type", "type"})
_REMEDY = "serve another model, or one converted so that the field is not needed"
_MAX_SHOWN = 80


def check_config(description: ModelDescription) -> None:
    """Return only if every field of config.json is imported rightly or changes nothing.

    Raises:
        StartupError: some field is not; the message names it, its value, why, and what to do.
    """
    family = family_of(description.architecture)
    config = description.config
    if config.get("model_type") != family.model_type:
        _refuse("model_type", config.get("model_type"), f"must be {family.model_type!r}")
    for name, value in config.items():
        if name not in family.imported_fields and name not in WITHOUT_EFFECT | {"model_type"}:
            _check_conditional(name, value, config)
    _check_rope_parameters(config)


def _check_conditional(name: str, value: Any, config: Json) -> None:
    condition = CONDITIONS.get(name)
    if condition is None:
        _refuse(name, value, "this field is not known to be computed rightly")
    elif not condition.is_neutral(value, config):
        _refuse(name, value, condition.reason)


def _check_rope_parameters(config: Json) -> None:
    """Refuse all of it but theta: transformers 5 keeps theta and scaling in one object."""
    rope = config.get("rope_parameters")
    if rope is None:
        return
    if not isinstance(rope, dict):
        _refuse("rope_parameters", rope, "must be an object")
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        _refuse("rope_parameters.rope_type", kind, CONDITIONS["rope_scaling"].reason)
    for name in sorted(set(rope) - _NEUTRAL_ROPE_PARAMETERS):
        _refuse(f"rope_parameters.{name}", rope[name], CONDITIONS["rope_scaling"].reason)
    if rope.get("partial_rotary_factor", 1) != 1:
        factor = rope["partial_rotary_factor"]
        _refuse("rope_parameters.partial_rotary_factor", factor, "FMS rotates whole heads")
    theta = config.get("rope_theta")
    if theta is not None and rope.get("rope_theta", theta) != theta:
        _refuse("rope_theta", theta, f"rope_parameters.rope_theta says {rope['rope_theta']}")


def _refuse(name: str, value: Any, reason: str) -> NoReturn:
    shown = repr(value)
    if len(shown) > _MAX_SHOWN:
        shown = f"{shown[:_MAX_SHOWN]}…"
    raise StartupError(f"config.json: {name} = {shown} is not served: {reason}; {_REMEDY}")
