"""Whoever leaves a stream of our clients, in whatever way, ends the engine's work."""

import asyncio

import pytest

from steeple.engine.v1 import engine_service_pb2_grpc
from steeple_client import AsyncClient, Client
from tests.support import async_leaving, leaving
from tests.support.cluster import load_of
from tests.support.deployment import Deployment
from tests.support.engine_work import computes_below

Stub = engine_service_pb2_grpc.EngineServiceStub
HALF = 450
"""Tokens, of the 900 or more of an answer that nobody leaves; 5 ms each."""


def test_a_request_that_nobody_leaves_is_computed_to_its_end(
    client: Client, engine_stub: Stub
) -> None:
    """Else the others would prove nothing."""
    before = load_of(engine_stub).num_output_tokens
    client.generate("x")
    assert load_of(engine_stub).num_output_tokens - before > 2 * HALF


@pytest.mark.parametrize("leave", leaving.WAYS)
def test_leaving_a_stream_ends_the_engines_work(
    fake: Deployment, engine_stub: Stub, leave: leaving.Leave
) -> None:
    with Client(fake.target) as client:
        kept = []
        with computes_below(engine_stub, HALF):
            kept.append(leave(client))


@pytest.mark.parametrize("leave", async_leaving.WAYS)
async def test_leaving_an_async_stream_ends_the_engines_work(
    fake: Deployment, engine_stub: Stub, leave: async_leaving.Leave
) -> None:
    async with AsyncClient(fake.target) as client:
        kept = []

        def wait() -> None:
            with computes_below(engine_stub, HALF):
                asyncio.run_coroutine_threadsafe(leave_and_keep(), loop).result()

        async def leave_and_keep() -> None:
            kept.append(await leave(client))

        loop = asyncio.get_running_loop()
        await asyncio.to_thread(wait)
