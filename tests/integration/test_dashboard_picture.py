"""The picture of the dashboard is drawn from a real Prometheus that saw a real run."""

import json
import math
from pathlib import Path

import pytest

from tests.support.prometheus_server import skip_without_prometheus
from tools.dashboard import FILE
from tools.pictures import dashboard
from tools.pictures.panels import Filled
from tools.pictures.scene import Scene, Stretch

SHORT = Scene(
    stretches=(
        Stretch(length_s=3, rate=4),
        Stretch(length_s=0.5, rate=200),
        Stretch(length_s=6, rate=2),
    ),
    kill_at_s=3,
    max_tokens=40,
)
ENGINE = ("--runner=fake", "--fake-step-ms=20", "--max-num-seqs=4", "--num-blocks=64")
"""Serves at most 8 requests a second, so that the burst fills its 20 places at any pace."""


def test_a_short_run_fills_the_panels(tmp_path: Path) -> None:
    """Every panel has a line; refusals, callers who left and the lost core are seen."""
    skip_without_prometheus()
    filled, span = dashboard.filled_by(SHORT, ENGINE)
    assert [one.panel["id"] for one in filled] == [
        panel["id"] for panel in json.loads(FILE.read_text())["panels"]
    ]
    assert [one.panel["title"] for one in filled if not one.lines] == []
    assert {"QUEUE_FULL", "CANCELLED", "MAX_TOKENS"} <= peaks(filled, "Requests by outcome").keys()
    wrong = peaks(filled, "What went wrong")
    assert wrong["cores lost"] > 0
    assert wrong["takeovers"] > 0
    dashboard.write(tmp_path / "a.png", filled, span)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def peaks(filled: list[Filled], title: str) -> dict[str, float]:
    """The largest number of each line of a panel."""
    (panel,) = [one for one in filled if one.panel["title"] == title]
    return {
        line.legend: max((v for v in line.values if not math.isnan(v)), default=0.0)
        for line in panel.lines
    }


def test_without_prometheus_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match="prometheus"):
        dashboard.filled_by(SHORT, ENGINE)
