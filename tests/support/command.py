"""The `steeple` command as a process."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
STEEPLE = [sys.executable, "-m", "steeple_cli"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "protos")])}
TIMEOUT_S = 90.0


def steeple(
    *arguments: str, stdin: str = "", environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end.

    Args:
        arguments: its command line.
        stdin: what it reads.
        environment: what is added to it.
    """
    return subprocess.run(
        [*STEEPLE, *arguments],
        env={**ENVIRONMENT, **(environment or {})},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


class Serving:
    """`steeple serve` as it runs.

    Args:
        arguments: its command line.
        environment: what is added to it.
    """

    def __init__(self, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self.target = f"127.0.0.1:{free_port()}"
        port = self.target.rpartition(":")[2]
        self.process = subprocess.Popen(
            [*STEEPLE, "serve", f"--port={port}", "--grace=5", *arguments],
            env={**ENVIRONMENT, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        """The line that it prints once it serves."""
        assert self.process.stdout is not None
        told: str = self.process.stdout.readline()
        return told

    def children(self) -> list[psutil.Process]:
        """Every process below it."""
        found: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
        return found

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """End it; its status and what it said on stderr."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        _, stderr = self.process.communicate(timeout=TIMEOUT_S)
        return self.process.returncode, stderr
