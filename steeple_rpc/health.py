"""grpc.health.v1 with watches that do not hold up the end of the service."""

import asyncio
from typing import Any

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health_aio

from steeple_rpc.context import Context


class HealthService(health_aio.HealthServicer):  # type: ignore[misc] # grpcio's has no types
    """grpcio's health service; its watches can be ended.

    A watch lives as long as its caller wants. Every one that is open would make a server that
    drains wait out its whole grace, long after the last request is done.
    """

    def __init__(self) -> None:
        super().__init__()
        self._are_watches_over = asyncio.Event()

    def end_watches(self) -> None:
        """End all watches, open ones and later ones, after their current state is told."""
        self._are_watches_over.set()

    async def Watch(  # noqa: N802 - named by the contract
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> None:
        """Tell the state of a service, and each change of it."""
        watching = asyncio.ensure_future(super().Watch(request, context))
        over = asyncio.ensure_future(self._are_watches_over.wait())
        either: set[asyncio.Future[Any]] = {watching, over}
        try:
            await asyncio.wait(either, return_when="FIRST_COMPLETED")
            if watching.done():
                watching.result()
        finally:
            for task in either:
                task.cancel()
            await asyncio.gather(*either, return_exceptions=True)
