"""Starts the engine service as a process on a model that it must refuse."""

import subprocess
import sys
from pathlib import Path

USAGE_ERROR = 2
TIMEOUT_S = 90


def refused_start(model: Path, *arguments: str) -> str:
    """What the engine says when it refuses a model: its only line on stderr, status 2."""
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "engine_svc",
            f"--model={model}",
            "--runner=fms",
            f"--listen=unix:{model.parent / 'engine.sock'}",
            "--log-level=error",
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    lines = result.stderr.splitlines()
    assert result.returncode == USAGE_ERROR, result.stderr
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    return lines[0]
