"""The first thing that a newcomer runs says what is missing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOO_OLD = "#!/bin/sh\nexit 1\n"
"""What a Python says that is asked whether it is a right one."""
NO_VENV = """#!/bin/sh
[ "$1" = -c ] && exit 0
mkdir -p "$3/bin" && touch "$3/bin/python" && chmod +x "$3/bin/python"
echo "ensurepip is not available" >&2
exit 1
"""
"""A right one without what makes environments: it leaves a half of one."""


def make_demo(python: str, venv: Path) -> "subprocess.CompletedProcess[str]":
    if shutil.which("make") is None:
        pytest.skip("no make here")
    command = ["make", "demo", f"PYTHON={python}", f"VENV={venv}"]
    # `make test` runs this: what it tells the makes below it would be printed, too.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def written(path: Path, script: str) -> str:
    path.write_text(script)
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("which", ["missing", "too old", "none"])
def test_a_python_that_will_not_do_is_told_with_the_remedy(tmp_path: Path, which: str) -> None:
    pythons = {
        "missing": str(tmp_path / "none"),
        "too old": written(tmp_path / "python", TOO_OLD),
        "none": "",
    }
    done = make_demo(pythons[which], tmp_path / "venv")
    assert done.returncode != 0
    (line,) = done.stdout.splitlines()
    assert line.startswith("error: Python 3.11 or 3.12 is needed, and ")
    assert line.endswith(": install one, or name it (make PYTHON=...)")
    assert (f"{pythons[which]} is not one" if pythons[which] else "none was found") in line
    assert not (tmp_path / "venv").exists()


def test_half_an_environment_is_not_left_for_the_next_attempt(tmp_path: Path) -> None:
    """As where Debian's python3-venv is missing: the second `make demo` must say so again."""
    python = written(tmp_path / "python", NO_VENV)
    for _ in range(2):
        done = make_demo(python, tmp_path / "venv")
        assert done.returncode != 0
        assert "ensurepip is not available" in done.stderr
        assert not (tmp_path / "venv").exists()
