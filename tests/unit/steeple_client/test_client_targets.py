"""Several gateways behind one target are called in turn."""

import asyncio

import pytest

from steeple_client import AsyncClient, Client
from tests.support.answers import generate_reply, replied
from tests.support.client_calls import Asynchronous, Calls, Threaded
from tests.support.scripted import ScriptedInference
from tests.support.servers import Serving, serving

ENOUGH = 200


async def _until_both_answered(calls: Calls, scripts: list[ScriptedInference]) -> None:
    """Whichever is connected first answers alone until the other is."""
    for _ in range(ENOUGH):
        await calls.generate("x")
        if all(script.requests for script in scripts):
            return
        await asyncio.sleep(0.01)
    raise AssertionError([len(script.requests) for script in scripts])


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_calls_go_to_all_gateways_and_past_one_that_is_gone(kind: str) -> None:
    scripts = [ScriptedInference(generate=replied(generate_reply("4"))) for _ in range(2)]
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
        assert (await calls.generate("x")).text == "4"
    assert len(scripts[1].requests) == before + 10
