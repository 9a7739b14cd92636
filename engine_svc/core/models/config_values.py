"""Reads single values of config.json; null means the default, as in transformers."""

import math
import reprlib
from typing import Any, NoReturn

from engine_svc.core.errors import StartupError

# A JSON object of any shape until checked.
Json = dict[str, Any]

_MAX_SHOWN = 80
# A value may be of any size and depth.
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxlong = _REPR.maxother = _MAX_SHOWN


def positive_int(config: Json, name: str, default: int | None = None) -> int:
    """A count of at least 1.

    Raises:
        StartupError: it is missing without a default, or something else.
    """
    value = _value(config, name, default)
    if type(value) is not int or value < 1:
        fail(name, value, "be a positive integer")
    return int(value)


def positive_number(config: Json, name: str, default: float | None = None) -> float:
    """A finite number above 0.

    Raises:
        StartupError: it is missing without a default, or something else.
    """
    value = _value(config, name, default)
    if type(value) not in (int, float) or not math.isfinite(value) or value <= 0:
        fail(name, value, "be a positive number")
    return float(value)


def flag(config: Json, name: str, *, default: bool = False) -> bool:
    """A truth value.

    Raises:
        StartupError: it is something else.
    """
    value = _value(config, name, default)
    if type(value) is not bool:
        fail(name, value, "be true or false")
    return bool(value)


def fail(name: str, value: Any, rule: str) -> NoReturn:
    """Refuse a value that cannot be meant.

    Raises:
        StartupError: always; the message names the field, its value and the rule.
    """
    raise StartupError(f"config.json: {name} = {shown(value)} must {rule}: mend the file")


def shown(value: Any) -> str:
    """A value as messages show it, cut where it would hide the rest."""
    text = _REPR.repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def _value(config: Json, name: str, default: float | None) -> Any:
    value = config.get(name)
    return default if value is None else value
