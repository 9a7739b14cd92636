"""docs/metrics.md names exactly the metrics that there are."""

import re
from pathlib import Path
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry

from engine_svc.metrics import EngineMetrics
from gateway.metrics import GatewayMetrics
from steeple_rpc.metrics import RpcMetrics
from steeple_rpc.trace_export import SpanMetrics
from tokenizer_svc.metrics import TokenizerMetrics

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
ROW = re.compile(
    r"^\| `(?P<name>steeple_\w+)` \| (?P<kind>\w+) \| (?P<labels>.*?) \| (?P<text>.+) \|$"
)


class Told(NamedTuple):
    """One metric as its reader meets it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str


def in_the_code() -> set[Told]:
    registry = CollectorRegistry()
    RpcMetrics(registry)
    SpanMetrics(registry)
    gateway, engine = GatewayMetrics(registry), EngineMetrics(registry)
    tokenizer = TokenizerMetrics(registry)
    gateway.follow_sessions(lambda: 0)
    engine.follow_progress(lambda: 0.0)
    tokenizer.follow_streams(lambda: 0, lambda: 0)
    return {
        told for collector in tuple(registry._collector_to_names) for told in described(collector)
    }


def described(collector: Any) -> list[Told]:  # the library's collectors have no common public type
    return [
        Told(
            name=family.name + ("_total" if family.type == "counter" else ""),
            kind=family.type,
            labels=tuple(getattr(collector, "_labelnames", getattr(family, "_labelnames", ()))),
            text=family.documentation,
        )
        for family in collector.collect()
    ]


def on_the_page() -> set[Told]:
    rows = [match for line in PAGE.read_text().splitlines() if (match := ROW.match(line))]
    return {
        Told(
            name=row["name"],
            kind=row["kind"],
            labels=tuple(re.findall(r"`(\w+)`", row["labels"])),
            text=row["text"],
        )
        for row in rows
    }


def test_the_page_and_the_code_name_the_same_metrics() -> None:
    assert sorted(on_the_page()) == sorted(in_the_code())


def test_counters_and_times_say_their_unit() -> None:
    for told in in_the_code():
        assert told.kind != "counter" or told.name.endswith("_total")
        assert told.kind != "histogram" or told.name.endswith(("_seconds", "_tokens"))
        assert told.kind == "counter" or not told.name.endswith("_total")
