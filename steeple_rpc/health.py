"""grpc.health.v1 with watches that end with the service, after they have told its last state.

grpcio's own service keeps a watch open until its caller leaves: each would make a server that
drains wait out its whole grace. And to cancel one may lose what it was about to tell.
"""

import asyncio

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from steeple_rpc.context import Context

_State = health_pb2.HealthCheckResponse


class HealthService(health_pb2_grpc.HealthServicer):  # type: ignore[misc] # grpcio's has no types
    """The states of this process's services, by name; at first there is none."""

    def __init__(self) -> None:
        self._is_serving: dict[str, bool] = {}
        self._changed = asyncio.Event()
        self._are_watches_over = False

    def set(self, service: str, *, serving: bool) -> None:
        """From now on this is its state; who watches it is told."""
        self._is_serving[service] = serving
        self._wake()

    def state(self, service: str) -> int:
        """Its ServingStatus: SERVICE_UNKNOWN where nobody has set one."""
        is_serving = self._is_serving.get(service)
        if is_serving is None:
            return int(_State.SERVICE_UNKNOWN)
        return int(_State.SERVING if is_serving else _State.NOT_SERVING)

    def end_watches(self) -> None:
        """End all watches, open ones and later ones, after their current state is told."""
        self._are_watches_over = True
        self._wake()

    async def Check(  # noqa: N802 - named by the contract
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> health_pb2.HealthCheckResponse:
        """Tell the state of a service; NOT_FOUND where there is no such service."""
        state = self.state(request.service)
        if state == _State.SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return health_pb2.HealthCheckResponse(status=state)

    async def Watch(  # noqa: N802 - named by the contract
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> None:
        """Tell the state of a service, SERVICE_UNKNOWN where there is none, and each change of it.

        Of changes that come while one is told, the last is told.
        """
        told = None
        while True:
            # Taken before the state is looked at: no change between the two is missed.
            changed = self._changed
            state = self.state(request.service)
            if state != told:
                await context.write(health_pb2.HealthCheckResponse(status=state))
                told = state
            elif self._are_watches_over:
                return
            else:
                await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
