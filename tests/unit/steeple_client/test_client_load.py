"""Both clients tell how busy a deployment is, and leave when nobody reads."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from steeple_client import NO_RETRIES, AsyncClient, Client, Latency
from steeple_client.convert_load import to_load
from steeple_rpc.errors import InvalidRequest, Unavailable
from tests.support.answers import load
from tests.support.scripted import ScriptedLoads
from tests.support.servers import Serving, serving
from tests.support.waiting import LIMIT_S


@pytest.fixture
def loads() -> ScriptedLoads:
    return ScriptedLoads([load()])


@pytest.fixture
async def served(loads: ScriptedLoads) -> AsyncIterator[Serving]:
    async with serving(loads.add_to) as served:
        yield served


def test_counts_become_rates() -> None:
    told = to_load(load())
    (model,) = told.models
    assert (model.prompt_tokens_per_s, model.completion_tokens_per_s) == (50.0, 1234.5)
    assert model.time_to_first_token == Latency(count=9, p50_s=0.02, p90_s=0.03, p99_s=0.045)
    assert model.queue == Latency()
    work = told.engines[0].work
    assert work is not None
    assert (work.steps_per_s, work.output_tokens_per_s, work.cached_share) == (50.0, 150.0, 0.25)
    assert told.engines[1].work is None


def test_nothing_counted_is_no_rate_and_no_error() -> None:
    message = load()
    message.gateway.window_ns = message.engines[0].work.counted_ns = 0
    told = to_load(message)
    assert told.models[0].completion_tokens_per_s == 0.0


async def test_both_clients_tell_the_same(served: Serving) -> None:
    def blocking() -> Any:
        with Client(served.address) as client:
            return client.load()

    async with AsyncClient(served.address) as client:
        assert await client.load() == await asyncio.to_thread(blocking) == to_load(load())


async def test_a_watch_tells_until_it_is_left(served: Serving, loads: ScriptedLoads) -> None:
    loads.loads = [load(num_running=1), load(num_running=2)]
    seen = []
    async with AsyncClient(served.address) as client, aclosing(client.watch_load(0.25)) as told:  # type: ignore[type-var] # a generator
        async for each in told:
            work = each.engines[0].work
            assert work is not None
            seen.append(work.num_running)
            if len(seen) == 2:
                break
    assert (seen, loads.intervals_ms) == ([1, 2], [250])
    async with asyncio.timeout(LIMIT_S):
        await loads.left.wait()


async def test_a_blocking_watch_is_left_by_closing_it(
    served: Serving, loads: ScriptedLoads
) -> None:
    def blocking() -> Any:
        with Client(served.address) as client:
            told = client.watch_load(2)
            try:
                return next(told)
            finally:
                told.close()  # type: ignore[attr-defined] # a generator

    assert await asyncio.to_thread(blocking) == to_load(load())
    async with asyncio.timeout(LIMIT_S):
        await loads.left.wait()
    assert loads.intervals_ms == [2000]


async def test_the_end_of_the_gateway_ends_a_watch(served: Serving, loads: ScriptedLoads) -> None:
    loads.error = Unavailable("the gateway is draining", reason="DRAINING")
    async with AsyncClient(served.address, retries=NO_RETRIES) as client:
        with pytest.raises(Unavailable, match="draining") as caught:
            async for _ in client.watch_load():
                pass
    assert caught.value.reason == "DRAINING"


@pytest.mark.parametrize("interval_s", [-1.0, math.nan])
async def test_an_interval_that_no_message_can_hold_is_refused(
    served: Serving, interval_s: float
) -> None:
    async with AsyncClient(served.address) as client:
        with pytest.raises(InvalidRequest):
            client.watch_load(interval_s)
