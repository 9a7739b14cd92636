"""The tables of docs/configuration.md from the code.

`python -m tools.settings_table` prints them; with --write it puts them there.
"""

import sys
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, get_args

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from engine_svc.old_variables import BY_NAME, BY_SUFFIX, Needless, Read, Unbuilt
from engine_svc.settings import EngineSettings
from gateway.settings import GatewaySettings
from steeple_cli.serving.options import OPTIONS
from steeple_rpc import vllm_flags
from steeple_rpc.settings import ServiceSettings
from tokenizer_svc.settings import TokenizerSettings
from tools.markdown import table

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "configuration.md"
MARK = "<!-- the tables below are written by tools/settings_table.py -->\n"
SERVICES: Mapping[str, type[ServiceSettings]] = {
    "gateway": GatewaySettings,
    "tokenizer": TokenizerSettings,
    "engine": EngineSettings,
}
_BOUNDS = {Ge: ("ge", "from"), Gt: ("gt", "above"), Le: ("le", "to"), Lt: ("lt", "below")}


def tables() -> str:
    """Everything below the mark: settings, vLLM's flags, old variables."""
    parts = [
        _serve(),
        _shared(),
        *(_service(name, settings) for name, settings in SERVICES.items()),
        _flags(),
        _old_variables(),
    ]
    return "\n".join(line for part in parts for line in (*part, ""))


def written(text: str) -> str:
    """The document with its tables as the code has them."""
    return text.partition(MARK)[0] + MARK + "\n" + tables()


def _serve() -> list[str]:
    own = {name: one for name, one in OPTIONS.items() if not one.services and name != "model"}
    rows = [
        [f"`--{name.replace('_', '-')}`", one.text, _shown(one.default)]
        for name, one in own.items()
    ]
    head = "Keys of `[serve]`, too, but `config` and `print_config`."
    return ["## `steeple serve`", "", head, "", *table(_HEAD[:3], rows)]


_HEAD = ["Setting", "What it does", "Default", "Allowed"]


def _shared() -> list[str]:
    head = ["## Settings of every service", ""]
    return [*head, *table(_HEAD, _rows(ServiceSettings.model_fields))]


def _service(name: str, settings: type[ServiceSettings]) -> list[str]:
    shared = ServiceSettings.model_fields
    fields = {
        key: field
        for key, field in settings.model_fields.items()
        # Told above, unless the service has another default.
        if key not in shared or field.default != shared[key].default
    }
    head = [f"## Settings of the {name}{' service' if name != 'gateway' else ''}", ""]
    return [*head, *table(_HEAD, _rows(fields))]


def _rows(fields: Mapping[str, FieldInfo]) -> list[list[str]]:
    return [
        [f"`{name}`", field.description or "", _default(field), _allowed(field)]
        for name, field in fields.items()
    ]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    return "" if field.default_factory is not None else _shown(field.default)


def _shown(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case Enum():
            return f"`{value.value}`"
        case list():
            return ", ".join(map(_shown, value))
        case _:
            return f"`{value}`"


def _allowed(field: FieldInfo) -> str:
    words = [word for word in _words(field.annotation) if isinstance(word, str)]
    if words:
        return ", ".join(f"`{word}`" for word in words)
    bounds = [*field.metadata, *(b for part in get_args(field.annotation) for b in _metadata(part))]
    told = [_told_bound(bound) for bound in bounds if type(bound) in _BOUNDS]
    return " ".join(told)


# Types and what they are annotated with are of no common type.
def _words(annotation: Any) -> Iterable[Any]:
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [one.value for one in annotation]
    found = get_args(annotation)
    return [word for part in found for word in ([part] if isinstance(part, str) else _words(part))]


def _metadata(annotation: Any) -> Iterable[Any]:
    flat: list[Any] = []
    for one in getattr(annotation, "__metadata__", ()):
        flat.extend(one.metadata if isinstance(one, FieldInfo) else [one])
    return flat


def _told_bound(bound: Any) -> str:
    attribute, word = _BOUNDS[type(bound)]
    return f"{word} {getattr(bound, attribute):,}"


def _flags() -> list[str]:
    rows = [[f"`{flag}`", *_fate(fate)] for flag, fate in vllm_flags.VLLM_FLAGS.items()]
    return ["## vLLM's flags", "", *table(["Flag", "Here", "Note"], rows)]


def _fate(fate: vllm_flags.Fate) -> list[str]:
    match fate:
        case vllm_flags.Renamed(ours=ours, note=note):
            return [f"`{ours}`", note]
        case vllm_flags.Needless(values=values, otherwise=otherwise, note=note):
            allowed = f" ({' or '.join(f'`{value}`' for value in values)} only)" if values else ""
            return [f"happens anyway{allowed}", note or otherwise]
        case vllm_flags.Refused(why=why):
            return ["refused", why]


def _old_variables() -> list[str]:
    named = {f"`…_{suffix}`": fate for suffix, fate in BY_SUFFIX.items()}
    named |= {f"`{name}`": fate for name, fate in BY_NAME.items()}
    rows = [[name, *_old_fate(fate)] for name, fate in named.items()]
    return ["## Variables of the old systems", "", *table(["Variable", "Here", "Note"], rows)]


def _old_fate(fate: Read | Unbuilt | Needless) -> list[str]:
    match fate:
        case Read(setting=setting, how=how):
            return [f"`{setting}`", how]
        case Unbuilt(what=what):
            return ["warned of", f"not built yet: {what}"]
        case Needless(why=why):
            return ["told once", why]


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        DOCUMENT.write_text(written(DOCUMENT.read_text()))
    else:
        print(tables())
