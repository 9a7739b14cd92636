"""The layers hold, and what must start fast or without an engine loads no tensor library."""

import subprocess
import sys
from pathlib import Path

import pytest

from steeple_cli.commands import COMMANDS, module_of

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "fms", "transformers")
LIGHT_MODULES = (
    "engine_svc.process",
    "engine_svc.service",
    "gateway.__main__",
    ", ".join(["steeple_cli.app", *map(module_of, COMMANDS)]),
    "steeple_client",
    "tokenizer_svc.process",
    "tokenizer_svc.service",
)


def test_the_layers_hold(tmp_path: Path) -> None:
    """The contracts of pyproject.toml, read by import-linter."""
    command = [f"{Path(sys.executable).parent}/lint-imports", "--cache-dir", str(tmp_path)]
    result = subprocess.run(  # noqa: PLW1510 - the report is the message
        command, cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert " 0 broken" in result.stdout


@pytest.mark.parametrize("module", LIGHT_MODULES, ids=lambda module: module.partition(",")[0])
def test_this_loads_no_tensor_library(module: str) -> None:
    """Only the engine's core process pays for torch, and only its image needs to hold it."""
    program = f"import sys, {module}; print([m for m in {HEAVY} if m in sys.modules])"
    result = subprocess.run(  # noqa: PLW1510 - stderr is the message
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"
