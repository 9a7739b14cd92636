"""What grpcio keeps of a read that is cut off: why readers are not cancelled, calls are."""

import asyncio
import ctypes
import gc
import sys
from collections.abc import AsyncIterator
from statistics import mean
from typing import TYPE_CHECKING

import grpc
import pytest

from steeple_rpc.channel import open_channel
from tests.support.servers import serving

if TYPE_CHECKING:
    # Generic in their stubs only.
    Stream = grpc.aio.UnaryStreamMultiCallable[bytes, bytes]
    Call = grpc.aio.UnaryStreamCall[bytes, bytes]
    Context = grpc.aio.ServicerContext[bytes, bytes]
NUM_CALLS = 500
NUM_ROUNDS = 3
LOST_BYTES = 60
"""Per call, with nothing but the bare read; what came with it is lost, too."""
NOTHING_BYTES = 20


class _Mallinfo2(ctypes.Structure):
    """As <malloc.h> has it."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def _native_bytes() -> int:
    """What malloc has handed out and not got back; Python's small objects live elsewhere."""
    gc.collect()
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = _Mallinfo2
    told = libc.mallinfo2()
    return int(told.uordblks) + int(told.hblkhd)


async def _one_message_then_silence(_: bytes, context: "Context") -> None:
    await context.write(b"x")
    await asyncio.Event().wait()


class _Handler(grpc.GenericRpcHandler):
    def service(self, handler_call_details: object) -> "grpc.RpcMethodHandler[bytes, bytes]":
        return grpc.unary_stream_rpc_method_handler(_one_message_then_silence)


def _add(server: grpc.aio.Server) -> None:
    server.add_generic_rpc_handlers((_Handler(),))


@pytest.fixture
async def silent() -> "AsyncIterator[Stream]":
    """A stream of one message."""
    async with serving(_add) as served, open_channel(served.address) as channel:
        yield channel.unary_stream("/x/Y")


async def _bytes_per_call(silent: "Stream", *, leaves_by_call: bool) -> float:
    async def read(call: "Call", came: asyncio.Event) -> None:
        async for _ in call:
            came.set()

    async def one() -> None:
        call, came = silent(b""), asyncio.Event()
        reading = asyncio.create_task(read(call, came))
        await came.wait()
        if leaves_by_call:
            call.cancel()
        else:
            reading.cancel()
        await asyncio.wait({reading})
        assert reading.cancelled()

    before = _native_bytes()
    for _ in range(NUM_CALLS):
        await one()
    return (_native_bytes() - before) / NUM_CALLS


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory with glibc's mallinfo2")
async def test_a_read_that_is_cut_off_is_never_freed_and_one_that_is_ended_is(
    silent: "Stream",
) -> None:
    """If the first half fails, grpcio has mended it.

    A busy machine frees in one round what another has left, so only all rounds together tell.
    """
    await _bytes_per_call(silent, leaves_by_call=True)  # connections, buffers
    lost = [await _bytes_per_call(silent, leaves_by_call=False) for _ in range(NUM_ROUNDS)]
    assert mean(lost) > LOST_BYTES
    nothing = [await _bytes_per_call(silent, leaves_by_call=True) for _ in range(NUM_ROUNDS)]
    assert mean(nothing) < NOTHING_BYTES
