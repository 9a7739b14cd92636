"""The Grafana dashboard's panels with what a real Prometheus answers to their queries.

Drawn by us: Grafana draws the same dashboard in its own way.
"""

import asyncio
import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from steeple_demo import model_dir
from tests.support.deployment import Deployment
from tests.support.processes import runs
from tests.support.prometheus_server import PrometheusServer, scrape_targets
from tests.support.waiting import eventually
from tools.dashboard import FILE, WINDOW
from tools.pictures.panels import Filled, Line, dashboard_figure, legend_of
from tools.pictures.scene import Scene, Stretch, play
from tools.pictures.series import Span, series_over

SCENE = Scene(
    stretches=(
        Stretch(length_s=30, rate=2),
        Stretch(length_s=40, rate=5),
        Stretch(length_s=1, rate=140),
        Stretch(length_s=54, rate=4),
        Stretch(length_s=25, rate=2),
    ),
    kill_at_s=105,
    max_tokens=160,
)
"""Its burst is more than the gateway has places for."""
ENGINE = ("--runner=fake", "--fake-step-ms=20", "--max-num-seqs=16", "--num-blocks=128")
"""A model of 20 ms a step on any machine, and so few blocks that a full batch has to preempt."""
SCRAPE_S = 1.0
# Grafana's $__rate_interval where it looks at every scrape.
_WINDOW_S = 4 * SCRAPE_S


def draw(path: Path) -> None:
    """Write it as PNG; takes three minutes.

    Raises:
        SystemExit: Prometheus is not installed.
    """
    write(path, *filled_by(SCENE, ENGINE))


def write(path: Path, filled: Sequence[Filled], span: Span) -> None:
    """Draw what is known."""
    dashboard_figure("Steeple", filled, span).savefig(path, format="png")


def filled_by(scene: Scene, engine: Sequence[str]) -> tuple[list[Filled], Span]:
    """Play a scene at an engine with these arguments; what Prometheus saw of it, and when.

    Raises:
        SystemExit: Prometheus is not installed.
    """
    if shutil.which("prometheus") is None:
        raise SystemExit("error: there is no prometheus here (Debian's package prometheus)")
    with (
        TemporaryDirectory() as folder,
        _deployment(engine) as deployment,
        PrometheusServer(Path(folder), scrape_targets(deployment), f"{SCRAPE_S:g}s") as prometheus,
    ):
        eventually(lambda: prometheus.values("up") == [1.0] * 3)
        start_s = time.time()
        asyncio.run(play(scene, deployment.target, lambda: _kill_core(deployment)))
        # So that the last moments of the span know how all of it ended.
        seen = f"min(timestamp(up)) > {time.time() + SCRAPE_S}"
        eventually(lambda: prometheus.values(seen) != [])
        span = Span(start_s=start_s, length_s=time.time() - start_s, step_s=SCRAPE_S)
        return list(_filled(prometheus.address, span)), span


def _deployment(engine: Sequence[str]) -> Deployment:
    metrics = ["--metrics-listen=127.0.0.1:0"]
    return Deployment(model_dir(), engine=[*engine, *metrics], gateway=metrics, tokenizer=metrics)


def _kill_core(deployment: Deployment) -> None:
    children = psutil.Process(deployment.engine.process.pid).children()
    (core,) = [child for child in children if runs(child, "engine_svc.core")]
    core.kill()


def _filled(address: str, span: Span) -> Iterator[Filled]:
    for panel in json.loads(FILE.read_text())["panels"]:
        lines = [line for target in panel["targets"] for line in _lines(address, target, span)]
        yield Filled(panel=panel, lines=lines)


def _lines(address: str, target: Mapping[str, Any], span: Span) -> Iterator[Line]:
    query = target["expr"].replace(WINDOW, f"{_WINDOW_S:g}s")
    for series in series_over(address, query, span):
        yield Line(legend=legend_of(target["legendFormat"], series), values=series.values)
