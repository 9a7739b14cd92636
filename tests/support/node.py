"""Node, with the packages of `examples/node`: a second implementation of gRPC, nothing of ours."""

import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.support.deployment import ROOT, TIMEOUT_S

EXAMPLES = ROOT / "examples" / "node"
PROBES = Path(__file__).parent / "node"
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(
    NODE is None or not (EXAMPLES / "node_modules").is_dir(),
    reason="needs Node and its packages: `make third-party`, where node and npm are installed",
)


def _environment(target: str, given: dict[str, str]) -> dict[str, str]:
    # grpc-js would go through a proxy that these name, even to loopback.
    inherited = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    return {**inherited, "STEEPLE_TARGET": target, **given}


def run_example(
    script: str, *arguments: str, target: str, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run a program of `examples/node` to its end."""
    return subprocess.run(
        [str(NODE), str(EXAMPLES / script), *arguments],
        env=_environment(target, environment),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


class Probe:
    """A program of `tests/support/node` that is talked to by lines; ended when left."""

    def __init__(self, script: str, *arguments: str, target: str) -> None:
        self._process = subprocess.Popen(
            [str(NODE), str(PROBES / script), *arguments],
            env=_environment(target, {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate(timeout=TIMEOUT_S)

    @property
    def is_running(self) -> bool:
        """Whether the process, and with it its connection, is there."""
        return self._process.poll() is None

    def tell(self, line: str) -> None:
        """Write a line to it."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def wait_for(self, word: str) -> str:
        """The next of its lines that holds the word."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if word in line:
                return line
        raise AssertionError(f"the probe ended without {word!r}")
