"""An upstream service as the gateway follows it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.upstreams import Engine, Upstream
from steeple_rpc.channel import open_channel
from steeple_rpc.lifecycle import Lifecycle
from tests.support.scripted_engines import Engines, updates_of
from tests.support.servers import Serving, serving
from tests.support.waiting import LIMIT_S


@pytest.fixture
def engines() -> Engines:
    return Engines()  # type: ignore[abstract] # the other RPCs are not called


@pytest.fixture
async def served(engines: Engines) -> AsyncIterator[Serving]:
    async with serving(engines.add_to) as served:
        yield served


async def test_an_engine_is_followed_while_it_serves(served: Serving) -> None:
    """No facts before it is ready, facts while it is, none after; each change is told."""
    lifecycle = Lifecycle(served.health)
    lifecycle.start()
    changed = asyncio.Event()
    engine = Engine(served.address, changed.set)
    following = asyncio.ensure_future(engine.follow())
    try:
        assert engine.facts is None
        for ready in (True, False):
            await lifecycle.set_ready(ready=ready)
            async with asyncio.timeout(LIMIT_S):
                await changed.wait()
            changed.clear()
            assert (engine.facts is not None) is ready
    finally:
        following.cancel()
        await asyncio.wait({following})
        await engine.close()


async def test_an_engine_that_falls_silent_is_left(served: Serving, engines: Engines) -> None:
    """Its stream may be as dead as its answers: who comes later gets a new one."""
    engine = Engine(served.address, lambda: None)
    await updates_of(engine.client)
    engine._interrupt()
    async with asyncio.timeout(LIMIT_S):
        await engines.left.wait()
    await updates_of(engine.client)
    await engine.close()


async def test_live_requests_are_counted_while_they_run(served: Serving) -> None:
    engine = Engine(served.address, lambda: None)
    async with engine.attempt(), engine.attempt():
        assert engine.load.num_here == 2
        assert engine.load.num_reported is None
    assert engine.load.num_here == 0
    await engine.close()


async def test_what_a_service_told_before_it_stopped_serving_is_not_believed() -> None:
    """It answers again and drains: the facts that were asked for come after that news."""

    async def learn() -> str:
        # What its watch does meanwhile.
        upstream._is_serving = False
        return "facts"

    async with open_channel("127.0.0.1:1") as channel:
        upstream = Upstream("u", channel, learn, lambda: None, on_stall=lambda: None)
        upstream._is_serving = upstream._is_silent = True
        await upstream._come_back()
    assert upstream.facts is None
