"""docs/benchmarking.md shows what the commands print, but for the figures."""

import re
import shlex
from pathlib import Path

import pytest

from tests.support.commands import steeple
from tests.support.deployment import Deployment

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarking.md"
_FENCE = "```console\n$ steeple "
_NUMBER = re.compile(r"\d[\d,]*(\.\d+)?")


def examples() -> list[tuple[str, str]]:
    """Command and shown output of each console block."""
    blocks = PAGE.read_text(encoding="utf-8").split(_FENCE)[1:]
    split = (block.partition("\n```")[0].partition("\n") for block in blocks)
    return [(command, shown) for command, _, shown in split]


def lines_of(text: str) -> str:
    """Its lines without how wide columns are, and counts that differ from run to run as #."""
    return "\n".join(" ".join(_NUMBER.sub("#", line).split()) for line in text.splitlines())


def exact(text: str) -> list[str]:
    """The lines whose figures are the same in every run."""
    told = ("requests ", "prompt tokens ", "output tokens ", "demo: ")
    lines = (" ".join(line.split()) for line in text.splitlines())
    return [line for line in lines if line.startswith(told)]


def test_each_example_prints_what_is_shown(
    fake: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of the page: later ones read what earlier ones wrote."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEEPLE_TARGET", fake.target)
    assert len(examples()) == 5
    for command, shown in examples():
        told = steeple(*shlex.split(command)).stdout
        assert lines_of(shown) in lines_of(told)
        missing = set(exact(shown)) - set(exact(told))
        assert not missing
    assert (tmp_path / "after.png").stat().st_size > 10_000


def test_its_picture_is_there() -> None:
    picture = PAGE.parent / "bench.png"
    assert f"({picture.name})" in PAGE.read_text(encoding="utf-8")
    assert picture.stat().st_size < 150_000
