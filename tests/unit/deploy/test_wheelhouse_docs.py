"""docs/deployment.md: the commands that fill deploy/wheelhouse, as they stand there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
NEEDED = ("pyproject.toml", "constraints.txt", "tools/requirements_of.py")
PYTHON = f"""#!/bin/sh
[ "$1" = -m ] || exec {sys.executable} "$@"
printf '%s\\n' "$@" > asked
"""
"""Runs scripts, and keeps what pip is asked for instead of asking it."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """As git makes it: without a folder that only a build makes."""
    for name in NEEDED:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").write_text(PYTHON)
    (tmp_path / "bin" / "python3").chmod(0o755)
    return tmp_path


def test_the_commands_for_a_place_without_a_network_work(checkout: Path) -> None:
    """Each requirement of every service once, none of ours, and pip told where to find them."""
    (commands,) = re.findall(r"```\n([^`]*wheelhouse[^`]*)```", PAGE)
    path = f"{checkout / 'bin'}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        ["bash", "-ec", commands],
        cwd=checkout,
        env={**os.environ, "PATH": path},
        check=True,
        timeout=60,
    )
    asked = (checkout / "asked").read_text().splitlines()
    assert asked[:3] == ["-m", "pip", "download"]
    file = asked[asked.index("--requirement") + 1]
    wanted = (checkout / file).read_text().splitlines()
    assert len(wanted) == len(set(wanted))
    assert {re.split(r"[^\w-]", line)[0] for line in wanted} >= {"grpcio", "tokenizers", "torch"}
    assert not any(line.startswith("steeple") for line in wanted)
