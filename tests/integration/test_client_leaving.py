"""Whoever leaves a stream of our clients, in whatever way, ends the engine's work."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from steeple.engine.v1 import engine_service_pb2_grpc
from steeple_client import AsyncClient, Client
from tests.support import async_leaving, leaving
from tests.support.cluster import load_of
from tests.support.deployment import Deployment
from tests.support.engine_work import computes_below
from tests.support.waiting import eventually

Stub = engine_service_pb2_grpc.EngineServiceStub
HALF = 450
"""Tokens, of the 900 or more of an answer that nobody leaves; 25 ms each where it is left."""


def test_a_request_that_nobody_leaves_is_computed_to_its_end(
    client: Client, engine_stub: Stub
) -> None:
    """Else the others would prove nothing."""
    before = load_of(engine_stub).num_output_tokens
    client.generate("x")
    assert load_of(engine_stub).num_output_tokens - before > 2 * HALF


@pytest.mark.parametrize("leave", leaving.WAYS)
def test_leaving_a_stream_ends_the_engines_work(
    slow: Deployment, slow_stub: Stub, leave: leaving.Leave
) -> None:
    with Client(slow.target) as client:
        kept = []
        with computes_below(slow_stub, HALF):
            kept.append(leave(client))


@pytest.mark.parametrize("leave", async_leaving.WAYS)
async def test_leaving_an_async_stream_ends_the_engines_work(
    slow: Deployment, slow_stub: Stub, leave: async_leaving.Leave
) -> None:
    async with AsyncClient(slow.target) as client:
        kept = []

        async def leave_and_keep() -> None:
            kept.append(await leave(client))

        await computing_below(slow_stub, leave_and_keep)


async def test_losing_patience_with_a_reply_ends_the_engines_work(
    slow: Deployment, slow_stub: Stub
) -> None:
    async with AsyncClient(slow.target) as client:

        async def begun() -> None:
            await asyncio.to_thread(eventually, lambda: load_of(slow_stub).num_running == 1)

        await computing_below(
            slow_stub, lambda: async_leaving.loses_patience_with_a_reply(client, begun())
        )


async def computing_below(stub: Stub, leave: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """`computes_below`, whose waiting leaves the loop free."""
    loop = asyncio.get_running_loop()

    def wait() -> None:
        with computes_below(stub, HALF):
            asyncio.run_coroutine_threadsafe(leave(), loop).result()

    await asyncio.to_thread(wait)
