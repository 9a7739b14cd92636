"""A Python that cannot run this is told so, before anything it lacks is missed."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from steeple_rpc.python_version import OLDEST, TOO_NEW

ROOT = Path(__file__).resolve().parents[3]
PROGRAMS = ["engine_svc", "gateway", "steeple_cli", "tokenizer_svc"]
OTHERS = ["python3.8", "python3.9", "python3.10", "python3.13", "python3.14"]


def run(python: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [python, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("version", [(3, 10, 9), (3, 13, 0), (4, 0, 0)], ids=str)
@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_refuses_it_in_one_line(program: str, version: tuple[int, ...]) -> None:
    code = f"import runpy, sys; sys.version_info = {version}; runpy.run_module('{program}')"
    done = run(sys.executable, "-c", code)
    assert (done.returncode, done.stdout) == (2, "")
    told = f"error: Python 3.11 or 3.12 is needed; this is {version[0]}.{version[1]} ("
    assert done.stderr.startswith(told)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("python", OTHERS)
def test_a_real_one_is_refused_too(python: str) -> None:
    """It has none of the packages, and perhaps not the grammar."""
    found = shutil.which(python)
    if found is None or run(found, "--version").returncode != 0:
        pytest.skip(f"{python} is not installed here")
    done = run(found, "-m", "steeple_cli", "serve")
    assert done.returncode == 2
    assert done.stderr.startswith("error: Python 3.11 or 3.12 is needed; this is")


def test_the_bounds_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (oldest, too_new) = (".".join(map(str, version)) for version in (OLDEST, TOO_NEW))
    assert project["requires-python"] == f">={oldest},<{too_new}"
