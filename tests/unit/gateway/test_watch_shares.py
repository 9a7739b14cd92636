"""The places of WatchLoad where callers prove who they are, over a real channel."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from gateway.admission import Admission
from gateway.load_window import LoadWindow
from gateway.places import PARTS
from gateway.services.load import LoadService
from gateway.watchers import MAX_WATCHERS, Watchers
from steeple.inference.v1 import load_service_pb2, load_service_pb2_grpc
from steeple_rpc.channel import open_channel
from steeple_rpc.errors import Overloaded
from tests.support.gateway_fakes import FakeBackends, catalog_of, engine_state
from tests.support.servers import failure, serving
from tests.support.token_door import TokenDoor
from tests.support.waiting import LIMIT_S

PART = MAX_WATCHERS // PARTS
QUIET = load_service_pb2.WatchLoadRequest(interval_ms=60_000)


class Watching:
    """Watches of named callers on one channel."""

    def __init__(self, channel: grpc.aio.Channel, door: TokenDoor) -> None:
        self._stub: Any = load_service_pb2_grpc.LoadServiceStub(channel)  # async in its stubs only
        self._door = door
        self.calls: list[Any] = []

    async def begin(self, name: str) -> Any:
        """A watch that has told once."""
        call = self._stub.WatchLoad(QUIET, metadata=self._door.shown_by(name))
        self.calls.append(call)
        await call.read()
        return call

    async def begin_again(self, name: str) -> None:
        """The same, as soon as there is a place."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await self.begin(name)
                    return


@pytest.fixture
async def watching() -> AsyncIterator[Watching]:
    clock = asyncio.get_running_loop().time
    backends: Any = FakeBackends(catalog_of(engine_state()), [])
    service = LoadService(backends, Admission(), LoadWindow(clock), Watchers(), clock)
    door = TokenDoor("alice", "bob")

    def add(server: grpc.aio.Server) -> None:
        load_service_pb2_grpc.add_LoadServiceServicer_to_server(service, server)

    async with (
        serving(add, interceptors=[door.guard]) as served,
        open_channel(served.address) as channel,
    ):
        watching = Watching(channel, door)
        yield watching
        for call in watching.calls:
            call.cancel()


async def test_one_caller_cannot_take_all_places(watching: Watching) -> None:
    """It is told its limit; another one watches; who leaves may come back."""
    first, *_ = [await watching.begin("alice") for _ in range(PART)]
    error = await failure(watching.begin("alice"))
    assert isinstance(error, Overloaded)
    assert error.reason == "PRINCIPAL_QUOTA"
    assert error.retry_after_s is not None
    told = f"{PART} of your watches are live; the limit for one caller is {PART}"
    assert error.message == told
    await watching.begin("bob")
    first.cancel()
    await watching.begin_again("alice")
