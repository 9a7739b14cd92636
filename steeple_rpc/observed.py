"""How a process is seen from outside: made once in `main`, handed on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from steeple_rpc.metrics import RpcMetrics, make_registry
from steeple_rpc.metrics_server import metrics_served
from steeple_rpc.observing import RpcObserver
from steeple_rpc.settings import ServiceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What a service registers with."""

    registry: CollectorRegistry
    observers: Sequence[RpcObserver]
    """For its server."""


@contextmanager
def observed(settings: ServiceSettings) -> Iterator[Observed]:
    """Serve this process's metrics for the block, as the settings say.

    Raises:
        BindRefused: the metrics' address cannot be served.
    """
    registry = make_registry()
    with metrics_served(settings, registry):
        yield Observed(registry=registry, observers=[RpcMetrics(registry)])
