"""What becomes of a status that is given over the head of a handler that waits in its write."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from steeple.inference.v1 import load_service_pb2, load_service_pb2_grpc
from steeple_rpc.channel import channel_options
from steeple_rpc.context import Context, fail_rpc
from steeple_rpc.errors import Overloaded
from tests.support.servers import failure, serving

WINDOW_BYTES = 512
SILENCE_S = 0.5
NARROW = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", WINDOW_BYTES))


class _Telling(load_service_pb2_grpc.LoadServiceServicer):
    """Ends a watch over its head as soon as a message of this size waits in the write.

    Not over messages that fit the window, `num_fitting` at first: in a write that the machine is
    slow with one might seem to wait.
    """

    def __init__(
        self, num_bytes: int, *, headers_first: bool = False, num_fitting: int = 0
    ) -> None:
        self._headers_first = headers_first
        self._num_fitting = num_fitting
        self._telling = load_service_pb2.WatchLoadResponse()
        self._telling.load.models.add(model="m" * num_bytes)
        self.has_ended = asyncio.Event()

    def add_to(self, server: grpc.aio.Server) -> None:
        load_service_pb2_grpc.add_LoadServiceServicer_to_server(self, server)

    async def GetLoad(  # noqa: N802 - named by the contract
        self, request: load_service_pb2.GetLoadRequest, context: Context
    ) -> load_service_pb2.GetLoadResponse:
        raise NotImplementedError

    async def WatchLoad(  # noqa: N802 - named by the contract
        self, request: load_service_pb2.WatchLoadRequest, context: Context
    ) -> AsyncIterator[load_service_pb2.WatchLoadResponse]:
        end = fail_rpc()
        if self._headers_first:
            await context.send_initial_metadata(())
        try:
            for _ in range(self._num_fitting):
                yield self._telling
            while True:
                stuck = asyncio.get_running_loop().call_later(0.1, end, Overloaded("too slow"))
                yield self._telling
                stuck.cancel()
        finally:
            self.has_ended.set()


@asynccontextmanager
async def _unread(telling: _Telling) -> AsyncIterator[Any]:
    """A watch that was ended before anybody read of it."""
    options = [*channel_options(), *NARROW]
    async with (
        serving(telling.add_to) as served,
        grpc.aio.insecure_channel(served.address, options=options) as channel,
    ):
        stub: Any = load_service_pb2_grpc.LoadServiceStub(channel)
        call = stub.WatchLoad(load_service_pb2.WatchLoadRequest())
        try:
            await telling.has_ended.wait()
            yield call
        finally:
            call.cancel()


# The stubs' calls are generic in their stubs only.
async def _read_on(call: Any) -> None:
    async for _ in call:
        pass


async def test_a_status_over_a_later_message_is_read_behind_it() -> None:
    telling = _Telling(WINDOW_BYTES // 4, num_fitting=2)
    async with _unread(telling) as call:
        error = await failure(_read_on(call))
    assert isinstance(error, Overloaded)


async def test_a_status_over_the_first_message_never_comes() -> None:
    """Both would send the headers, and the library refuses. If this fails, it has mended it."""
    telling = _Telling(WINDOW_BYTES * 2)
    async with _unread(telling) as call:
        reading = asyncio.ensure_future(_read_on(call))
        await asyncio.wait({reading}, timeout=SILENCE_S)
        assert not reading.done()
        call.cancel()
        await asyncio.wait({reading})
        assert reading.cancelled()


async def test_a_status_over_the_first_message_is_read_behind_it_where_headers_went_first() -> None:
    """What every stream of ours does that may be ended over its head."""
    async with _unread(_Telling(WINDOW_BYTES * 2, headers_first=True)) as call:
        error = await failure(_read_on(call))
    assert isinstance(error, Overloaded)
