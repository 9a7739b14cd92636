"""Reads the variables of older systems from an environment; pure. The table: old_variables.py."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from engine_svc.old_variables import (
    BY_NAME,
    BY_SUFFIX,
    PREFIXES,
    Fate,
    Needless,
    Read,
    Unbuilt,
)
from steeple_rpc.nearest import hint
from steeple_rpc.old_settings import OldSettings, Remark
from steeple_rpc.quantities import parse_quantity
from steeple_rpc.refused import SettingRefused

_TRUTHS = {"0": False, "false": False, "1": True, "true": True}
_MAX_DIGITS = 18
_SHAPE_DEFAULTS = {"WARMUP_PROMPT_LENS": "64", "WARMUP_NEW_TOKENS": "20", "WARMUP_BATCH_SIZES": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A variable that is set."""

    variable: str
    text: str


def read_old_environment(environ: Mapping[str, str], own_prefix: str) -> OldSettings:
    """What the old variables in `environ` come to.

    Args:
        environ: of the process.
        own_prefix: of our own variables, which must not say something else.

    Raises:
        SettingRefused: two variables contradict each other, or a value cannot be read; names them.
    """
    found = _found(environ)
    values = _values(found)
    origins = {setting: _origins(found, setting) for setting in values}
    _check_own(environ, own_prefix, values, origins)
    remarks = [*_read_remarks(values, origins), *_other_remarks(found, values), *_unknown(environ)]
    return OldSettings(values=values, origins=origins, remarks=remarks)


def _found(environ: Mapping[str, str]) -> dict[str, _Found]:
    """By suffix, or by whole name; what is set to nothing is not set."""
    found = {
        name: _Found(variable=name, text=environ[name]) for name in BY_NAME if environ.get(name)
    }
    for suffix in BY_SUFFIX:
        given = [
            _Found(variable=prefix + suffix, text=text)
            for prefix in PREFIXES
            if (text := environ.get(prefix + suffix))
        ]
        if len({one.text for one in given}) > 1:
            raise _contradiction(*(f"{one.variable}={one.text}" for one in given))
        if given:
            found[suffix] = given[0]
    return found


def _values(found: Mapping[str, _Found]) -> dict[str, object]:
    values: dict[str, object] = {}
    if scheduler := _scheduler(found):
        values["scheduler"] = scheduler
    if scheduler == "static":
        values["warmup_shapes"] = _shapes(found)
    if "CP_INTERLEAVE_STEPS" in found:
        values["interleave"] = _number(found["CP_INTERLEAVE_STEPS"]) > 0
    for name in ("N_BLOCKS", "NUM_CPUS", "VLLM_DT_MAX_BATCH_TKV_LIMIT"):
        if name in found and (number := _number(found[name])):
            values[_setting(name)] = number
    return values


def _scheduler(found: Mapping[str, _Found]) -> str | None:
    """As the old system chose: static unless told otherwise. None: nothing was said of it."""
    if not found.keys() & {"USE_CB", "USE_CHUNKED_PREFILL", *_SHAPE_DEFAULTS}:
        return None
    is_continuous = "USE_CB" in found and _truth(found["USE_CB"])
    is_chunked = "USE_CHUNKED_PREFILL" in found and _truth(found["USE_CHUNKED_PREFILL"])
    if is_chunked and not is_continuous:
        name = found["USE_CHUNKED_PREFILL"].variable
        needed = name.replace("USE_CHUNKED_PREFILL", "USE_CB")
        raise SettingRefused(f"{name}=1 needs {needed}=1: set both, or pass --scheduler")
    if is_chunked:
        return "spyre_chunked"
    return "spyre_continuous" if is_continuous else "static"


def _shapes(found: Mapping[str, _Found]) -> str:
    """One shape from each place of the three lists."""
    texts = {n: found[n].text if n in found else default for n, default in _SHAPE_DEFAULTS.items()}
    lists = [text.replace(" ", "").split(",") for text in texts.values()]
    if len({len(numbers) for numbers in lists}) > 1:
        told = ", ".join(f"{name} {text}" for name, text in texts.items())
        raise SettingRefused(f"old warm-up shapes must be lists of one length; they are {told}")
    return ",".join(map(":".join, zip(*lists, strict=True)))


def _truth(one: _Found) -> bool:
    truth = _TRUTHS.get(one.text.lower())
    if truth is None:
        raise SettingRefused(f"{one.variable}={one.text}: it can only be 0 or 1")
    return truth


def _number(one: _Found) -> int:
    is_number = one.text.isascii() and one.text.isdecimal() and len(one.text) <= _MAX_DIGITS
    if not is_number:
        raise SettingRefused(f"{one.variable}={one.text}: it must be a whole number, 0 or more")
    return int(one.text)


def _fate(name: str) -> Fate:
    return BY_SUFFIX.get(name) or BY_NAME[name]


def _setting(name: str) -> str:
    fate = _fate(name)
    return fate.setting if isinstance(fate, Read) else ""


def _origins(found: Mapping[str, _Found], setting: str) -> Sequence[str]:
    """The variables that say it; static may be what only shapes stand for."""
    names = [one.variable for name, one in found.items() if _setting(name) == setting]
    return names or [found[name].variable for name in _SHAPE_DEFAULTS if name in found]


def _check_own(
    environ: Mapping[str, str],
    prefix: str,
    values: Mapping[str, object],
    origins: Mapping[str, Sequence[str]],
) -> None:
    for setting, value in values.items():
        variable = f"{prefix}{setting.upper()}"
        own = environ.get(variable)
        if own is not None and not _says(own, value):
            old = " and ".join(f"{name}={environ[name]}" for name in origins[setting])
            raise _contradiction(f"{variable}={own}", f"{old} ({value})")


def _says(own: str, value: object) -> bool:
    """Whether our own variable's text stands for the value."""
    if isinstance(value, bool):
        return _TRUTHS.get(own.lower()) is value
    if isinstance(value, int):
        with suppress(ValueError):
            return parse_quantity(own) == value
    return own == value


def _contradiction(*said: str) -> SettingRefused:
    return SettingRefused(f"{' and '.join(said)} contradict each other: unset all but one")


def _read_remarks(
    values: Mapping[str, object], origins: Mapping[str, Sequence[str]]
) -> Iterator[Remark]:
    for setting, value in values.items():
        facts = {"variables": ", ".join(origins[setting]), "setting": setting, "value": value}
        yield Remark(event="old_variable_read", facts=facts)


def _other_remarks(found: Mapping[str, _Found], values: Mapping[str, object]) -> Iterator[Remark]:
    needless = []
    for name, one in found.items():
        match _fate(name):
            case Unbuilt(what=what, harmless=harmless):
                if one.text not in harmless:
                    facts = {"variable": one.variable, "not_built": what}
                    yield Remark(event="old_variable_without_effect", facts=facts)
            case Needless():
                needless.append(one.variable)
            case Read(setting=setting):
                if setting == "warmup_shapes" and setting not in values:
                    needless.append(one.variable)
    if needless:
        names = ", ".join(sorted(needless))
        yield Remark(event="old_variables_needless", facts={"variables": names}, is_warning=False)


def _unknown(environ: Mapping[str, str]) -> Iterator[Remark]:
    for name in sorted(environ):
        for prefix in PREFIXES:
            if name.startswith(prefix) and name.removeprefix(prefix) not in BY_SUFFIX:
                known = [prefix + suffix for suffix in BY_SUFFIX]
                told = f"no such variable{hint(name, known, prefix=prefix)}"
                yield Remark(event="old_variable_unknown", facts={"variable": name, "why": told})
