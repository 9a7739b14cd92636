"""Servers of ours inside the test's own event loop, and small clients that look at them."""

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
import structlog
from pydantic_settings import SettingsConfigDict

from steeple_rpc import status
from steeple_rpc.errors import ServiceError
from steeple_rpc.health import HealthService
from steeple_rpc.lifecycle import READINESS
from steeple_rpc.live_calls import LiveCalls
from steeple_rpc.observing import RpcObserver
from steeple_rpc.server import add_health, bind, make_server
from steeple_rpc.settings import ServiceSettings


class ServerSettings(ServiceSettings):
    """Settings of a service that exists in tests only."""

    model_config = SettingsConfigDict(env_prefix="STEEPLE_TESTSERVICE_")

    listen: str = "127.0.0.1:0"


AddServices = Callable[[grpc.aio.Server], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A started server, where it is, and what it has logged so far."""

    server: grpc.aio.Server
    address: str
    health: HealthService
    calls: LiveCalls
    logs: list[MutableMapping[str, Any]]


@asynccontextmanager
async def serving(
    *add: AddServices,
    max_message_bytes: int = 4 << 20,
    listen: str = "127.0.0.1:0",
    observers: Sequence[RpcObserver] = (),
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    **given: Any,
) -> AsyncIterator[Serving]:
    """Serve for the block, with our options and border; log lines are caught, not printed.

    Health tells that it is ready, until a test knows better.

    What else is `given` are settings.
    """
    settings = ServerSettings(listen=listen, max_message_bytes=max_message_bytes, **given)
    calls = LiveCalls()
    server = make_server(settings, observers, interceptors, calls=calls)
    health = add_health(server)
    health.set(READINESS, serving=True)
    for add_service in add:
        add_service(server)
    address = bind(server, settings)
    with structlog.testing.capture_logs() as logs:
        await server.start()
        try:
            yield Serving(server=server, address=address, health=health, calls=calls, logs=logs)
        finally:
            await server.stop(0)


async def failure(call: Awaitable[Any]) -> ServiceError:
    """The error that an RPC ends with; fails the test if it does not."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return status.from_call(caught.value)


async def drained(call: Any) -> list[Any]:  # the stubs' stream types differ by message
    """Every message of a stream that ends well."""
    return [message async for message in call]
