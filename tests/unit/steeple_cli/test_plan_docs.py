"""docs/scheduling.md shows what the commands really print."""

import json
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine_svc.core.scheduler.registry import SCHEDULERS
from steeple_cli.app import app

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "scheduling.md"
_FENCE = "```console\n$ steeple "


def examples() -> list[tuple[str, str]]:
    """Command and shown output of each console block."""
    blocks = PAGE.read_text(encoding="utf-8").split(_FENCE)[1:]
    return [_split(block.partition("\n```")[0]) for block in blocks]


def _split(block: str) -> tuple[str, str]:
    command, _, shown = block.replace("\\\n", " ").partition("\n")
    return command, shown


def test_the_page_has_an_example_for_every_policy() -> None:
    commands = " ".join(command for command, _ in examples())
    named = SCHEDULERS.keys() - {"continuous"}  # the default
    assert all(f"--scheduler {name} " in commands for name in named)
    assert any("--scheduler" not in command for command, _ in examples())


@pytest.mark.parametrize("example", examples(), ids=lambda example: example[0][:60])
def test_an_example_prints_what_is_shown(
    example: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block shows some lines in a row of what its command prints."""
    monkeypatch.chdir(ROOT)
    command, shown = example
    result = CliRunner().invoke(app, shlex.split(command))
    assert result.exit_code == 0, result.stderr
    assert shown
    assert shown in result.stdout


@pytest.mark.parametrize(
    ("policy", "change"),
    [("spyre_chunked", "--over-limit look-ahead"), ("spyre_continuous", "--join wait")],
)
def test_a_row_with_one_thing_changed_tells_its_figures(policy: str, change: str) -> None:
    """The last command of the page with the change at its end; two rows stand for all."""
    command, _ = examples()[-1]
    result = CliRunner().invoke(app, [*shlex.split(command), *shlex.split(change), "--json"])
    assert result.exit_code == 0, result.stderr
    plans = json.loads(result.stdout)["policies"]
    (figures,) = (plan["figures"] for plan in plans if plan["scheduler"] == policy)
    latencies = figures["latencies"]
    row = (
        f"| `{policy}` | `{change}` | {figures['rates']['output_tokens_per_s']:.0f}"
        f" | {latencies['ttft_s']['p50']:.1f} s | {latencies['itl_s']['p99'] * 1000:.0f} ms |"
    )
    assert row in PAGE.read_text(encoding="utf-8").splitlines()


def test_its_picture_is_there() -> None:
    picture = PAGE.with_suffix(".png")
    assert f"({picture.name})" in PAGE.read_text(encoding="utf-8")
    assert picture.stat().st_size < 100_000
