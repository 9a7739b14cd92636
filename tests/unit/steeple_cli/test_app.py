"""The command line as a process: quick to start, quiet when it is left, lazy about its commands."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from steeple_cli.app import app
from steeple_cli.commands import COMMANDS
from tests.support.command import ENVIRONMENT, STEEPLE, TIMEOUT_S, steeple

CTRL_C_WHILE_IMPORTING = """
import signal
import sys


class CtrlC:
    @staticmethod
    def find_spec(name, path, target=None):
        if name == {module!r}:
            signal.raise_signal(signal.SIGINT)


sys.meta_path.insert(0, CtrlC)
sys.argv = ["steeple", "wait", "--timeout=0"]
from steeple_cli.__main__ import main

main()
"""


PRINTS_AN_ARROW = """
import sys
from steeple_cli import app, __main__

app.app = lambda: sys.stdout.write("a \\u2192 b\\n")
__main__.main()
"""


def python(program: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def through(
    redirected: str, command: str, stdin: str = "", **environment: str
) -> "subprocess.CompletedProcess[str]":
    """A command of the shell, with its streams as the shell makes them."""
    return subprocess.run(
        ["bash", "-c", f'"$@" {redirected}', "bash", *STEEPLE, *command.split()],
        env={**ENVIRONMENT, **environment},
        input=stdin,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=TIMEOUT_S,
        check=False,
    )


@pytest.mark.parametrize(
    "module", ["steeple_cli.app", "typer", "steeple_cli.watching.wait", "grpc", "steeple_client"]
)
def test_ctrl_c_while_it_starts_ends_130_without_a_word(module: str) -> None:
    """Whatever is imported just then."""
    done = python(CTRL_C_WHILE_IMPORTING.format(module=module))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        (["--help"], ["steeple_client", "grpc", "pydantic", "structlog", "asyncio"]),
        (["--version"], ["steeple_client", "grpc", "pydantic", "asyncio", "rich.console"]),
        (
            ["wait", "--help"],
            ["engine_svc", "pydantic_settings", "matplotlib", "uvloop", "structlog"],
        ),
        (["token", "--help"], ["steeple_client", "engine_svc", "pydantic_settings", "matplotlib"]),
    ],
    ids=" ".join,
)
def test_a_command_imports_only_its_own(arguments: list[str], unwanted: list[str]) -> None:
    """What the others need would make it slow."""
    done = python(
        "import sys\n"
        "from steeple_cli.app import app\n"
        f"app({arguments!r}, standalone_mode=False)\n"
        f"print([m for m in {unwanted} if m in sys.modules])\n"
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_what_the_locale_lacks_is_a_question_mark() -> None:
    """Not a traceback: a box of the help, a bar, a word of an answer."""
    environment = {"PYTHONIOENCODING": "ascii", "COLUMNS": "80"}
    done = steeple("wait", "--help", environment=environment)
    assert (done.returncode, done.stderr) == (0, "")
    plain = steeple("wait", "--help", environment={"PYTHONIOENCODING": "utf-8", "COLUMNS": "80"})
    assert plain.stdout.isascii() is False
    assert "--timeout" in done.stdout
    answer = python(PRINTS_AN_ARROW, PYTHONIOENCODING="ascii")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "a ? b\n", "")


@pytest.mark.parametrize(
    "command", ["--help", "--version", "plan --requests=2", "plan --requests=2 --json", "doctor"]
)
def test_output_that_finds_no_room_is_one_line(command: str) -> None:
    """As on a full disk; whether it is noticed while writing or at the end."""
    done = through("> /dev/full", command)
    told = "error: the output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, told)


@pytest.mark.parametrize(
    ("command", "redirected", "status", "told"),
    [
        ("chat", "<&-", 0, ""),
        ("--version", ">&-", 0, ""),
        ("--version", "<&- >&- 2>&-", 0, ""),
        ("generate a --target=127.0.0.1", ">&-", 1, "error: INVALID_ARGUMENT "),
        ("generate a --target=127.0.0.1", "<&- >&- 2>&-", 1, ""),
    ],
)
def test_a_stream_that_is_closed_is_no_traceback(
    command: str, redirected: str, status: int, told: str
) -> None:
    """As a service of the system starts what it runs."""
    done = through(redirected, command)
    assert done.returncode == status, done.stderr
    assert done.stderr.startswith(told)
    assert done.stderr.count("\n") == bool(told)


def test_bytes_that_are_no_text_are_refused_by_a_reason() -> None:
    """Whatever the locale does with them: most take none."""
    done = through("", "chat", stdin="a\udcff\n", PYTHONIOENCODING="utf-8:strict")
    assert done.returncode == 1
    assert done.stderr == "error: INVALID_ARGUMENT BAD_TEXT: a text is not valid Unicode\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_of_itself_what_the_list_says(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And in the list it takes one line of a small terminal."""
    monkeypatch.setenv("COLUMNS", "80")
    told = CliRunner().invoke(app, [name, "--help"]).stdout.splitlines()
    text = COMMANDS[name].text
    assert text in map(str.strip, told)
    assert any(f" {text} " in line for line in CliRunner().invoke(app).output.splitlines())
