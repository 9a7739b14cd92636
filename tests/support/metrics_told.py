"""The metrics that the services have, read from their registries."""

from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry

from engine_svc.metrics import EngineMetrics
from gateway.metrics import GatewayMetrics
from steeple_rpc.metrics import RpcMetrics
from steeple_rpc.trace_export import SpanMetrics
from tokenizer_svc.metrics import TokenizerMetrics


class Told(NamedTuple):
    """One metric as its reader meets it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str


def metrics_in_the_code() -> set[Told]:
    """All that any service can tell."""
    registry = CollectorRegistry()
    RpcMetrics(registry)
    SpanMetrics(registry)
    gateway, engine = GatewayMetrics(registry), EngineMetrics(registry)
    tokenizer = TokenizerMetrics(registry, ())
    gateway.follow_sessions(lambda: 0)
    engine.follow_progress(lambda: 0.0)
    tokenizer.follow_streams(lambda: 0, lambda: 0)
    return {
        told for collector in tuple(registry._collector_to_names) for told in _described(collector)
    }


def _described(collector: Any) -> list[Told]:  # the library's collectors have no public type
    return [
        Told(
            name=family.name + ("_total" if family.type == "counter" else ""),
            kind=family.type,
            labels=tuple(getattr(collector, "_labelnames", getattr(family, "_labelnames", ()))),
            text=family.documentation,
        )
        for family in collector.collect()
    ]
