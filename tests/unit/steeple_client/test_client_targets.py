"""Several gateways behind one target are called in turn."""

import asyncio

import pytest

from steeple_client import AsyncClient, Client
from tests.support.answers import generate_events, played
from tests.support.client_calls import Asynchronous, Calls, Threaded
from tests.support.scripted import ScriptedInference
from tests.support.servers import Serving, serving
from tests.support.waiting import LIMIT_S


async def _until_both_answered(calls: Calls, scripts: list[ScriptedInference]) -> None:
    """Whichever is connected first answers alone until the other is."""
    async with asyncio.timeout(LIMIT_S):
        while not all(script.requests for script in scripts):
            await calls.generate_stream("x")


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_calls_go_to_all_gateways_and_past_one_that_is_gone(kind: str) -> None:
    scripts = [ScriptedInference(generate_stream=played(generate_events("4"))) for _ in range(2)]
    async with serving(scripts[0].add_to) as one, serving(scripts[1].add_to) as other:
        target = f"ipv4:{one.address},{other.address}"
        if kind == "sync":
            with Client(target) as client:
                await _both_then_one(Threaded(client), scripts, one)
        else:
            async with AsyncClient(target) as aclient:
                await _both_then_one(Asynchronous(aclient), scripts, one)


async def _both_then_one(calls: Calls, scripts: list[ScriptedInference], one: Serving) -> None:
    await _until_both_answered(calls, scripts)
    await one.server.stop(0)
    before = len(scripts[1].requests)
    for _ in range(10):
        # A call may be sent before its loss is known: a stream that told nothing is made again.
        assert len(await calls.generate_stream("x")) == 4
    assert len(scripts[1].requests) == before + 10
