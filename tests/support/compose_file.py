"""docker-compose.yml as both generations of Compose read it, for tests that need no engine."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from tests.support.deployment import ROOT

COMPOSE = ROOT / "docker-compose.yml"
SPYRE = ROOT / "deploy" / "docker-compose.spyre.yml"
OUR_MODULES = {"gateway": "gateway", "tokenizer": "tokenizer_svc", "engine": "engine_svc"}
"""The services that are ours, and what runs in them."""

_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}")

# A tree of YAML: as deep and as mixed as its author likes.
Tree: TypeAlias = Mapping[str, Any]


def compose_tree(path: Path = COMPOSE, variables: Mapping[str, str] | None = None) -> Tree:
    """The file, its variables as given, else their defaults."""
    given = variables or {}

    def value(found: re.Match[str]) -> str:
        return given.get(found["name"]) or found["default"] or ""

    return dict(yaml.safe_load(_VARIABLE.sub(value, path.read_text()).replace("$$", "$")))


def services(path: Path = COMPOSE) -> Mapping[str, Tree]:
    """Its services by name."""
    return dict(compose_tree(path)["services"])


def variables_of(path: Path = COMPOSE) -> Mapping[str, str]:
    """The variables that the file reads, with their defaults; "" = none."""
    return {found["name"]: found["default"] or "" for found in _VARIABLE.finditer(path.read_text())}


def seconds(duration: str) -> float:
    """A duration of Compose in one unit: 90s, 10m."""
    return float(duration[:-1]) * {"s": 1, "m": 60}[duration[-1]]
