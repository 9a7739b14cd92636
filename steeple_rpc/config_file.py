"""One TOML file for a deployment: a table for each service, and one for `steeple serve`.

Every program reads its own table and makes sure that it knows all the others.
"""

import tomllib
from argparse import ArgumentError, ArgumentParser
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from steeple_rpc.files import read_text
from steeple_rpc.nearest import hint
from steeple_rpc.refused import SettingRefused
from steeple_rpc.vllm_flags import VLLM_FLAGS, Renamed

CONFIG_VARIABLE = "STEEPLE_CONFIG"
MAX_CONFIG_BYTES = 1 << 20
NOT_IN_FILE = frozenset({"config", "print_config"})
"""Settings of every program that cannot stand in the file: they are about it."""
TABLES = frozenset({"engine", "gateway", "serve", "tokenizer"})

Table = dict[str, Any]  # what TOML holds


def named_by(arguments: Sequence[str]) -> str | None:
    """The file that a command line names: it is read before the rest of the line."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--config")
    try:
        found, _ = parser.parse_known_args(arguments)
    except ArgumentError:
        # Told by whoever reads the whole line.
        return None
    named: str | None = found.config
    return named


def read_table(path: Path, table: str, known: Collection[str]) -> Table:
    """One table of the file; empty if it is not there.

    Args:
        path: the file.
        table: a name of TABLES.
        known: the keys that it may have.

    Raises:
        SettingRefused: there is no such file, it is too long or no TOML, or it has an unknown table
            or key; names the file, and the nearest known name.
    """
    try:
        return _checked(_tables(path), table, known)
    except SettingRefused as error:
        raise SettingRefused(f"{path}: {error}") from error


def _tables(path: Path) -> Mapping[str, Any]:
    text = read_text(path, MAX_CONFIG_BYTES)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingRefused(f"it is not TOML: {error}") from error
    except RecursionError:
        raise SettingRefused("it is nested too deeply") from None
    except ValueError:
        # Of Python itself, which reads no numbers of thousands of digits.
        raise SettingRefused("it has a number beyond all bounds") from None


def _checked(tables: Mapping[str, Any], table: str, known: Collection[str]) -> Table:
    for name, content in tables.items():
        if name not in TABLES:
            names = ", ".join(f"[{one}]" for one in sorted(TABLES))
            raise SettingRefused(f"unknown table or key {name}; known are {names}")
        if not isinstance(content, dict):
            raise SettingRefused(f"{name} must be a table: write [{name}]")
    found: Table = tables.get(table, {})
    for key in found:
        if key not in known:
            raise SettingRefused(f"[{table}] has no key {key}{_meant(key, known)}")
    return found


def _meant(key: str, known: Collection[str]) -> str:
    snake = key.replace("-", "_")
    fate = VLLM_FLAGS.get(f"--{snake.replace('_', '-')}")
    if isinstance(fate, Renamed):
        ours = fate.ours.removeprefix("--").replace("-", "_")
        if ours in known:
            return f"; here it is {ours}"
    return hint(snake, known)
