"""How a process is seen from outside: made once in `main`, handed on."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from opentelemetry.trace import NoOpTracer, Tracer
from prometheus_client import CollectorRegistry

from steeple_rpc.metrics import RpcMetrics, make_registry
from steeple_rpc.metrics_server import metrics_served
from steeple_rpc.observing import RpcObserver
from steeple_rpc.settings import ServiceSettings
from steeple_rpc.tracing import Tracing


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What a service registers with."""

    registry: CollectorRegistry
    observers: Sequence[RpcObserver]
    """For its server."""
    rpcs: RpcMetrics
    """One of them: it wants to know what is served."""


@contextmanager
def observed(service: str, settings: ServiceSettings) -> Iterator[Observed]:
    """Serve this process's metrics and send its traces for the block, as the settings say.

    Args:
        service: as traces name it.
        settings: of the service.

    Raises:
        BindRefused: the metrics' address cannot be served.
    """
    registry = make_registry()
    with (
        metrics_served(settings, registry),
        _tracer(service, settings.otlp_endpoint, registry) as tracer,
    ):
        rpcs = RpcMetrics(registry)
        yield Observed(registry=registry, observers=[rpcs, Tracing(tracer)], rpcs=rpcs)


def _tracer(
    service: str, endpoint: str | None, registry: CollectorRegistry
) -> AbstractContextManager[Tracer]:
    if endpoint is None:
        return nullcontext(NoOpTracer())
    from steeple_rpc.trace_export import exporting  # noqa: PLC0415 - large, and seldom wanted

    return exporting(service, endpoint, registry)
