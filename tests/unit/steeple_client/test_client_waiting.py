"""Either client waits until a gateway serves, and no longer than it was told."""

import asyncio
from pathlib import Path

import pytest

from steeple_client import AsyncClient, Client
from steeple_rpc.errors import DeadlineExpired
from steeple_rpc.lifecycle import Lifecycle
from tests.support.client_calls import Calls, refusal
from tests.support.servers import Serving, serving
from tests.support.waiting import LIMIT_S


async def test_a_client_that_waits_returns_once_the_gateway_serves(
    served: Serving, calls: Calls
) -> None:
    """Not before: the port is open long before the models are loaded."""
    lifecycle = Lifecycle(served.health)
    lifecycle.start()
    waiting = asyncio.ensure_future(calls.wait_until_ready(LIMIT_S))
    await asyncio.wait({waiting}, timeout=0.05)
    assert not waiting.done()
    await lifecycle.set_ready(ready=True)
    await waiting


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_client_that_waits_may_come_before_the_gateway(kind: str, tmp_path: Path) -> None:
    """Nobody is there when the waiting begins; a port that is free might be taken meanwhile."""
    address = f"unix:{tmp_path}/s"
    if kind == "sync":
        with Client(address) as client:
            waiting = asyncio.ensure_future(asyncio.to_thread(client.wait_until_ready, LIMIT_S))
            await _serve_until(waiting, address)
    else:
        async with AsyncClient(address) as aclient:
            await _serve_until(asyncio.ensure_future(aclient.wait_until_ready(LIMIT_S)), address)


async def _serve_until(waiting: "asyncio.Future[None]", address: str) -> None:
    await asyncio.wait({waiting}, timeout=0.05)
    assert not waiting.done()
    async with serving(listen=address):
        await waiting


async def test_waiting_has_its_limit(served: Serving, calls: Calls) -> None:
    Lifecycle(served.health).start()
    error = await refusal(calls.wait_until_ready(0.1))
    assert isinstance(error, DeadlineExpired)
    assert error.reason == "NOT_READY"
