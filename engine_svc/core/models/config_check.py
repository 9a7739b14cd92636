"""Decides from config.json alone whether we compute what the model's maker meant.

FMS ignores fields that it does not know, and a model imported that way answers nonsense without a
word. So every field is read, known not to change the result, neutral in value, or refused.
"""

from typing import Any, NoReturn

from engine_svc.core.errors import StartupError
from engine_svc.core.models.config_fields import WITHOUT_EFFECT, Field
from engine_svc.core.models.config_values import Json, shown
from engine_svc.core.models.description import ModelDescription
from engine_svc.core.models.family import Family, Task
from engine_svc.core.models.geometry import Geometry
from engine_svc.core.models.registry import family_of

_REMEDY = "serve another model, or one converted so that the field is not needed"


def read_geometry(description: ModelDescription, task: Task) -> tuple[Family, Geometry]:
    """Check the whole of config.json and read the numbers in it.

    Raises:
        StartupError: the model is not for the task, or a field is refused, missing, of the wrong
            kind, or does not fit the others; the message names it, its value, why, and what to do.
    """
    family = family_of(description.architecture, task)
    config = description.config
    if config.get("model_type") != family.model_type:
        _refuse("model_type", config.get("model_type"), f"must be {family.model_type!r}")
    for name, value in config.items():
        field = family.fields.get(name)
        if field is not None or name not in WITHOUT_EFFECT | {"model_type"}:
            _check_field(field, name, value, config)
    return family, family.read(config)


def _check_field(field: Field | None, name: str, value: Any, config: Json) -> None:
    if field is None:
        _refuse(name, value, "this field is not known to be computed rightly")
    if field.is_neutral is not None and not field.is_neutral(value, config):
        _refuse(name, value, field.note)


def _refuse(name: str, value: Any, reason: str) -> NoReturn:
    raise StartupError(f"config.json: {name} = {shown(value)} is not served: {reason}; {_REMEDY}")
