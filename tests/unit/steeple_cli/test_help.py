"""Help that fits two screens, and usage errors that say what to do."""

import pytest
from typer.testing import CliRunner

from steeple_cli.app import app
from steeple_cli.commands import COMMANDS

MAX_LINES = {80: 93, 100: 67}


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("COLUMNS", "100")
    return CliRunner()


@pytest.mark.parametrize("columns", MAX_LINES)
@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=str)
def test_help_fits_two_screens(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch, command: list[str], columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    result = runner.invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    lines = result.stdout.rstrip().splitlines()
    assert len(lines) <= MAX_LINES[columns]
    assert max(map(len, lines)) <= columns


@pytest.mark.parametrize("name", COMMANDS)
def test_a_switch_takes_no_value(runner: CliRunner, name: str) -> None:
    """Neither does --help."""
    assert "<bool>" not in runner.invoke(app, [name, "--help"]).stdout


def test_brackets_in_a_help_are_text(runner: CliRunner) -> None:
    assert "TOML file: [serve] and a table" in runner.invoke(app, ["serve", "--help"]).stdout


@pytest.mark.parametrize("command", ["serve", "doctor"])
def test_an_argument_that_may_be_left_out_has_one_pair_of_brackets(
    runner: CliRunner, command: str
) -> None:
    assert "[OPTIONS] [MODEL]" in runner.invoke(app, [command, "--help"]).stdout


def test_help_names_every_command(runner: CliRunner) -> None:
    out = runner.invoke(app, ["--help"]).stdout
    assert all(f" {name} " in out for name in COMMANDS)


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate"],
        ["generate", "x", "--max-tokens=0"],
        ["generate", "x", "--temperature=-1"],
        ["generate", "x", "--temperature=hot"],
        ["generate", "x", "--tempreature=1"],
        ["tell", "x"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_2_and_prints_nothing_on_stdout(
    runner: CliRunner, arguments: list[str]
) -> None:
    result = runner.invoke(app, arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr != ""
