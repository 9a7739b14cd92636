"""Whoever leaves a stream of our clients, in whatever way, ends the engine's work."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from steeple.engine.v1 import engine_service_pb2_grpc
from steeple_client import AsyncClient, Client
from tests.support import async_leaving, leaving
from tests.support.cluster import is_idle, load_of
from tests.support.deployment import Deployment
from tests.support.waiting import eventually

Stub = engine_service_pb2_grpc.EngineServiceStub
HALF = 450
"""Tokens, of the 900 or more of an answer that nobody leaves; 5 ms each."""


@contextmanager
def worked_for_little(stub: Stub) -> Iterator[None]:
    """Fail unless a request is computed in the block, and ended long before its end."""
    eventually(lambda: is_idle(stub))
    before = load_of(stub)
    yield
    eventually(lambda: is_idle(stub))
    after = load_of(stub)
    assert after.num_prompt_tokens > before.num_prompt_tokens
    assert after.num_output_tokens - before.num_output_tokens < HALF


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
        with worked_for_little(engine_stub):
            kept.append(leave(client))


@pytest.mark.parametrize("leave", async_leaving.WAYS)
async def test_leaving_an_async_stream_ends_the_engines_work(
    fake: Deployment, engine_stub: Stub, leave: async_leaving.Leave
) -> None:
    async with AsyncClient(fake.target) as client:
        kept = []

        def wait() -> None:
            with worked_for_little(engine_stub):
                asyncio.run_coroutine_threadsafe(leave_and_keep(), loop).result()

        async def leave_and_keep() -> None:
            kept.append(await leave(client))

        loop = asyncio.get_running_loop()
        await asyncio.to_thread(wait)
