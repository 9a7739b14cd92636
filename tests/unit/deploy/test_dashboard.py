"""The dashboard and the alerts fit the metrics that there are, and the compose file that runs them.

tests/integration/test_dashboard_queries.py asks a real Prometheus.
"""

import json
import shutil
import subprocess

import pytest
import yaml

from tests.support.compose_file import OUR_MODULES, services
from tests.support.deployment import ROOT
from tests.support.metrics_told import metrics_in_the_code
from tests.support.queries import (
    DASHBOARD,
    alert_queries,
    dashboard_queries,
    labels_of,
    metrics_of,
)
from tools.dashboard import COLUMNS, DATA_SOURCE, text

DEPLOY = ROOT / "deploy"
QUERIES = {**dashboard_queries("1m"), **alert_queries()}
OF_PROMETHEUS = {"up", "process_cpu_seconds_total", "process_resident_memory_bytes"}
SCRAPED_LABELS = {"job", "le"}


def series() -> dict[str, set[str]]:
    """The labels of every series by its name, as a scrape tells it."""
    named = {told.name: told for told in metrics_in_the_code()}
    parts = ("_bucket", "_sum", "_count")
    return {
        f"{name}{part}": set(told.labels)
        for name, told in named.items()
        for part in (parts if told.kind == "histogram" else ("",))
    }


def test_the_dashboard_is_what_its_program_writes() -> None:
    """`python -m tools.dashboard` after a change."""
    assert DASHBOARD.read_text() == text()


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_a_query_names_metrics_and_labels_that_there_are(name: str) -> None:
    known = series()
    wanted = metrics_of(QUERIES[name])
    assert wanted
    assert wanted <= known.keys() | OF_PROMETHEUS
    labels = set().union(*(known.get(metric, set()) for metric in wanted))
    assert labels_of(QUERIES[name]) <= labels | SCRAPED_LABELS


def test_panels_stand_side_by_side() -> None:
    """Each has a place of its own, and something to say."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(panels)
    assert all(p["gridPos"]["x"] + p["gridPos"]["w"] <= COLUMNS for p in panels)
    assert all(panel["description"].endswith(".") for panel in panels)
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_grafana_finds_the_data_source_and_the_dashboard() -> None:
    """By the names and folders that provisioning, compose file and dashboard agree on."""
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    (provider,) = yaml.safe_load((provisioning / "dashboards/steeple.yml").read_text())["providers"]
    assert {"type": source["type"], "uid": source["uid"]} == DATA_SOURCE
    grafana = services()["grafana"]
    folder = provider["options"]["path"]
    assert f"./deploy/grafana/dashboards:{folder}:ro" in grafana["volumes"]
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{folder}/{DASHBOARD.name}"
    assert source["url"] == f"http://prometheus:{port_of('prometheus')}"


def port_of(service: str) -> str:
    """The port that a container publishes."""
    (published,) = services()[service]["ports"]
    return str(published.rpartition(":")[2])


def test_prometheus_scrapes_where_the_services_serve_metrics() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    scraped = {
        job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]
    }
    for name in OUR_MODULES:
        listen = services()[name]["environment"][f"STEEPLE_{name.upper()}_METRICS_LISTEN"]
        assert scraped.pop(name) == [f"{name}:{listen.rpartition(':')[2]}"]
    assert scraped == {}


@pytest.mark.parametrize(
    "command", [["check", "config", "prometheus.yml"], ["test", "rules", "rules_test.yml"]]
)
def test_prometheus_takes_its_files_and_the_alerts_ring_when_they_should(
    command: list[str],
) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool (Debian's package prometheus) is not installed")
    done = subprocess.run(
        ["promtool", *command],
        cwd=DEPLOY / "prometheus",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test() -> None:
    tested = (DEPLOY / "prometheus" / "rules_test.yml").read_text()
    assert all(f"alertname: {name}\n        exp_alerts" in tested for name in alert_queries())
