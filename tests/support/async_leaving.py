"""The ways in which a program leaves a stream of the asyncio client.

Each reads at least one event, and returns what it keeps alive.
"""

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import pytest

from steeple_client import AsyncClient
from tests.support.leaving import fails

Leave = Callable[[AsyncClient], Awaitable[object]]


async def breaks_out(client: AsyncClient) -> None:
    async for _ in client.generate_stream("x"):
        break


async def breaks_out_of_the_texts(client: AsyncClient) -> None:
    async for _ in client.generate_stream("x").texts():
        break


async def raises_in_the_body(client: AsyncClient) -> object:
    """The traceback lives on."""

    async def read() -> None:
        async for _ in client.generate_stream("x"):
            fails()

    with pytest.raises(KeyError) as caught:
        await read()
    return caught


async def raises_in_a_with_block(client: AsyncClient) -> object:
    """The traceback lives on, and with it the stream."""

    async def read() -> None:
        async with client.generate_stream("x") as stream:
            await anext(stream)
            fails()

    with pytest.raises(KeyError) as caught:
        await read()
    return caught


async def cancels(client: AsyncClient) -> object:
    stream = client.generate_stream("x")
    await anext(stream)
    stream.cancel()
    stream.cancel()
    return stream


async def closes(client: AsyncClient) -> object:
    async with aclosing(client.generate_stream("x")) as stream:
        await anext(stream)
    return stream


async def is_collected_as_garbage(client: AsyncClient) -> None:
    stream = client.generate_stream("x")
    await anext(stream)
    cycle: list[object] = [stream]
    cycle.append(cycle)
    del stream, cycle
    gc.collect()


async def is_dropped_on_another_thread(client: AsyncClient) -> None:
    """Where the garbage collector happens to run."""
    kept = [client.generate_stream("x")]
    await anext(kept[0])
    thread = threading.Thread(target=kept.clear)
    thread.start()
    await asyncio.to_thread(thread.join)


async def closes_the_client(client: AsyncClient) -> object:
    stream = client.generate_stream("x")
    await anext(stream)
    await client.close()
    return stream


async def loses_patience(client: AsyncClient) -> object:
    stream = client.generate_stream("x")
    await anext(stream)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await stream.result()
    return stream


async def is_cancelled(client: AsyncClient) -> object:
    streams = []
    is_read = asyncio.Event()

    async def read() -> None:
        streams.append(client.generate_stream("x"))
        await anext(streams[0])
        is_read.set()
        await streams[0].result()

    reading = asyncio.create_task(read())
    await is_read.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    return streams


WAYS: list[Leave] = [
    breaks_out,
    breaks_out_of_the_texts,
    raises_in_the_body,
    raises_in_a_with_block,
    cancels,
    closes,
    is_collected_as_garbage,
    is_dropped_on_another_thread,
    closes_the_client,
    loses_patience,
    is_cancelled,
]


async def loses_patience_with_a_reply(client: AsyncClient, begun: Awaitable[None]) -> None:
    """Nothing of a reply is read before its end: `begun` returns once it is being computed."""

    async def ask() -> None:
        async with asyncio.timeout(None) as patience:
            reply = asyncio.create_task(client.generate("x"))
            await begun
            patience.reschedule(asyncio.get_running_loop().time())
            await reply

    with pytest.raises(TimeoutError):
        await ask()
