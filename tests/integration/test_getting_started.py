"""docs/getting-started.md works as it stands: its commands, in order, and its program."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.deployment import ROOT
from tests.support.ports import free_port
from tests.support.waiting import eventually

PAGE = (ROOT / "docs" / "getting-started.md").read_text(encoding="utf-8")
PORT = "50051"
SERVE = "steeple serve"
TIMEOUT_S = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A command and what is shown below it."""

    command: str
    shown: str

    def is_in(self, printed: str) -> bool:
        """Whether something printed is what the page shows, whatever stands for each … ."""
        return re.search(_pattern(self.shown), _without_blank_ends(printed)) is not None


def _pattern(shown: str) -> str:
    lines = [
        r"(?:.*\n)*?" if line == "…" else re.escape(line).replace("…", ".*") + r"\n"
        for line in shown.splitlines()
    ]
    return "(?m)^" + "".join(lines)


def _without_blank_ends(printed: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in printed.splitlines())


def examples() -> list[Example]:
    """Every command of the page's console blocks, in order."""
    blocks = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    found = [part for block in blocks for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    split = [part.partition("\n") for part in found]
    return [Example(command=command, shown=shown) for command, _, shown in split]


@pytest.fixture(scope="module")
def environ() -> Mapping[str, str]:
    """A newcomer's, but for the port, which may be taken here."""
    port = str(free_port())
    return {
        **os.environ,
        "COLUMNS": "80",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "protos")]),
        "STEEPLE_SERVE_PORT": port,
        "STEEPLE_TARGET": f"127.0.0.1:{port}",
    }


@pytest.fixture(scope="module")
def served(environ: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the page starts first; it ends without complaint."""
    (example,) = (example for example in examples() if example.command == SERVE)
    log = tmp_path_factory.mktemp("serve") / "log"
    with log.open("w") as file:
        process = subprocess.Popen(SERVE.split(), env=environ, stdout=file, stderr=file)
    try:
        eventually(lambda: example.is_in(log.read_text()), log.read_text)
        yield
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT_S) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def test_every_command_prints_what_is_shown(
    served: None, environ: Mapping[str, str], tmp_path: Path
) -> None:
    commands = [example for example in examples() if example.command != SERVE]
    assert len(commands) >= 8
    for example in commands:
        done = subprocess.run(
            ["bash", "-c", example.command],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
        assert done.returncode == 0, done.stderr
        assert example.is_in(done.stdout), f"{example.command}:\n{done.stdout}"


def test_its_program_prints_the_answer(
    served: None, environ: Mapping[str, str], tmp_path: Path
) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", program.replace(PORT, environ["STEEPLE_SERVE_PORT"])],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    assert (done.stdout, done.stderr) == ("4", "")


def test_what_is_shown_and_not_printed_is_found() -> None:
    """So that the tests above can fail."""
    shown = Example(command="", shown="a … c\n…\nlast\n")
    assert shown.is_in("first\na b c  \nd\nlast\n")
    assert not shown.is_in("a b c\nd\nlast one\n")
    assert not shown.is_in("last\na b d\n")
