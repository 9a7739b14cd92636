"""What `steeple serve` is told beside its command line: variables, and [serve] of the file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steeple_cli.serving.options import OPTIONS
from steeple_rpc.config_file import CONFIG_VARIABLE, NOT_IN_FILE, named_by, read_table
from steeple_rpc.nearest import hint
from steeple_rpc.refused import SettingRefused

PREFIX = "STEEPLE_SERVE"


def file_defaults(arguments: Sequence[str], environ: Mapping[str, str]) -> dict[str, Any]:
    """[serve] of the file that the command line or the environment names; empty without one.

    Its keys are the command's own options; those for a service stand in the service's table.

    Raises:
        SettingRefused: the file cannot be used; names it.
    """
    named = _file(arguments, environ)
    if not named:
        return {}
    found = read_table(Path(named), "serve", OPTIONS.keys() - NOT_IN_FILE)
    for key in found:
        if services := OPTIONS[key].services:
            tables = " and ".join(f"[{service}]" for service in services)
            raise SettingRefused(f"{named}: {key} of [serve] belongs into {tables}")
    return found


def place_of(
    option: str, source: str, arguments: Sequence[str], environ: Mapping[str, str]
) -> str | None:
    """Where the value of an option was given; None = on the command line, where it is seen.

    Args:
        option: its name.
        source: click's name of its source.
        arguments: the command line.
        environ: the environment.
    """
    match source:
        case "DEFAULT_MAP":
            return f"{_file(arguments, environ)}: {option} of [serve]"
        case "ENVIRONMENT":
            return f"{PREFIX}_{option.upper()}"
        case _:
            return None


def _file(arguments: Sequence[str], environ: Mapping[str, str]) -> str | None:
    return named_by(arguments) or environ.get(CONFIG_VARIABLE)


def check_variables(environ: Mapping[str, str]) -> None:
    """Refuse a variable that has the command's prefix and no option.

    Raises:
        SettingRefused: names it, and the nearest that there is.
    """
    known = {f"{PREFIX}_{name.upper()}" for name in OPTIONS}
    for name in environ:
        if name.startswith(f"{PREFIX}_") and name not in known:
            meant = hint(name, known, prefix=f"{PREFIX}_")
            raise SettingRefused(f"unknown variable {name}{meant}")
