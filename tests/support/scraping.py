"""What a Prometheus server would see of a service."""

import http.client
from collections.abc import Mapping
from typing import TypeAlias

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.support.waiting import LIMIT_S

Labels: TypeAlias = Mapping[str, str]


class Scrape:
    """The samples of one moment."""

    def __init__(self, families: list[Metric]) -> None:
        self.families = families

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name that have these labels; 0 where there are none."""
        return sum(
            sample.value
            for family in self.families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def labels(self, name: str) -> list[Labels]:
        """The labels of each sample of this name."""
        return [s.labels for family in self.families for s in family.samples if s.name == name]


def scrape(address: str) -> Scrape:
    """Ask a metrics port, HOST:PORT, once."""
    return Scrape(list(text_string_to_metric_families(scrape_text(address))))


def scrape_text(address: str) -> str:
    """The text that a metrics port answers with."""
    connection = http.client.HTTPConnection(address, timeout=LIMIT_S)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def read(registry: CollectorRegistry) -> Scrape:
    """What a scrape of this registry would tell."""
    return Scrape(list(registry.collect()))
