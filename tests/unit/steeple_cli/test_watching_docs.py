"""docs/watching.md shows what the commands really print, and names every column."""

import io
import shlex
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from steeple_cli.app import app
from steeple_cli.watching.screen import screen
from steeple_client.convert_load import to_load
from tests.support.answers import load

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "watching.md").read_text(encoding="utf-8")
_FENCE = "```console\n$ steeple "
EXAMPLES = [block.partition("\n```")[0] for block in PAGE.split(_FENCE)[1:]]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.splitlines()[0])
def test_an_example_prints_what_is_shown(example: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some lines in a row of what its command prints; it ends 1 where something fails."""
    monkeypatch.chdir(ROOT)
    command, _, shown = example.partition("\n")
    result = CliRunner().invoke(app, shlex.split(command), env={"COLUMNS": "100"})
    assert result.exit_code == ("\nfail " in f"\n{shown}")
    assert shown
    assert shown in result.stdout


def test_there_are_examples_of_both_ends() -> None:
    assert ["fail " in example for example in EXAMPLES] == [False, True]


def test_every_column_that_needs_a_word_has_one() -> None:
    console = Console(width=200, file=io.StringIO(), markup=False, highlight=False, record=True)
    console.print(screen(to_load(load()), "here", console, None))
    told = console.export_text()
    named = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    columns = [name.strip(" `") for cell in named for name in cell.split(",")]
    assert len(columns) == 13
    assert all(column in told for column in columns)


def test_its_picture_is_there_and_fetches_nothing() -> None:
    picture = (ROOT / "docs" / "top.svg").read_text(encoding="utf-8")
    assert "(top.svg)" in PAGE
    assert picture.count("http") == picture.count("http://www.w3.org/2000/svg") == 1
