"""Every PromQL expression that the project ships: of the dashboard and of the alerts."""

import json
import re
from collections.abc import Mapping

import yaml

from tests.support.deployment import ROOT

DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "steeple.json"
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
GRAFANAS_WINDOW = "$__rate_interval"


def dashboard_queries(window: str) -> Mapping[str, str]:
    """The dashboard's by panel and legend; `window`, as 10s, is what rates look back."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return {
        f"{panel['title']}: {target['legendFormat']}": target["expr"].replace(
            GRAFANAS_WINDOW, window
        )
        for panel in panels
        for target in panel["targets"]
    }


def alert_queries() -> Mapping[str, str]:
    """The alerts' by name."""
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule["expr"] for rule in group["rules"]}


def metrics_of(query: str) -> set[str]:
    """The series that a query names."""
    without_labels = re.sub(r"\{[^}]*\}|by \([^)]*\)|\[[^]]*\]", "", query)
    return set(re.findall(r"\b(?:steeple|process)_\w+|\bup\b", without_labels))


def labels_of(query: str) -> set[str]:
    """The labels that a query selects or groups by."""
    grouped = [name for names in re.findall(r"by \(([^)]*)\)", query) for name in names.split(",")]
    return {*map(str.strip, grouped), *re.findall(r"(\w+)=~?\"", query)}
