"""F-12: a deadline ends the request wherever it is, and expired work costs no step."""

import asyncio
import time

import pytest

from steeple_client import AsyncClient, Client, TextDelta
from steeple_rpc.errors import DeadlineExpired
from tests.support.cluster import Cluster, load_of
from tests.support.waiting import eventually

SEATS = 8
RUNNING_S = 2.5
LONG = 900
BESIDE_LONG_PROMPT = 650
"""About as many tokens as the context has room for beside the long prompt."""


async def _seats_taken(client: AsyncClient, cluster: Cluster) -> "list[asyncio.Task[object]]":
    async def sit(number: int) -> object:
        return await client.generate(f"seat {number}", max_tokens=LONG)

    seats = [asyncio.create_task(sit(number)) for number in range(SEATS)]
    with cluster.engine_stub() as stub:
        await asyncio.to_thread(eventually, lambda: load_of(stub).num_running == SEATS)
    return seats


async def test_a_request_that_expires_in_the_queue_never_costs_a_step(calm: Cluster) -> None:
    """All seats are taken; the ninth ends DEADLINE_EXCEEDED without a token computed for it."""
    async with AsyncClient(calm.target) as client:
        seats = await _seats_taken(client, calm)
        with pytest.raises(DeadlineExpired):
            await client.generate("ninth", max_tokens=5, timeout_s=0.3)
        with calm.engine_stub() as stub:
            await asyncio.to_thread(eventually, lambda: load_of(stub).num_waiting == 0)
            assert load_of(stub).num_running == SEATS
        for seat in seats:
            seat.cancel()
        await asyncio.gather(*seats, return_exceptions=True)
    await asyncio.to_thread(calm.wait_until_idle)


async def test_a_running_request_ends_with_its_deadline(calm: Cluster) -> None:
    """What was delivered before stays delivered; the engine has stopped by the time we look.

    Of a short prompt and of a long one. The deadline leaves time for a text on a slow machine, and
    is over long before the answer would be.
    """

    async def expires(prompt: str, max_tokens: int) -> None:
        stream = client.generate_stream(prompt, max_tokens=max_tokens, timeout_s=RUNNING_S)
        async for event in stream:
            if isinstance(event, TextDelta):
                break
        with pytest.raises(DeadlineExpired):
            async for _ in stream:
                pass

    async with AsyncClient(calm.target) as client:
        await asyncio.gather(
            expires("short", LONG), expires("long prompt " * 40, BESIDE_LONG_PROMPT)
        )
    await asyncio.to_thread(calm.wait_until_idle)


@pytest.mark.parametrize("timeout_s", [1e-9, 1e-6])
def test_a_deadline_that_is_over_is_refused_at_once(calm: Cluster, timeout_s: float) -> None:
    """No step is run for it."""
    calm.wait_until_idle()
    with calm.engine_stub() as stub, Client(calm.target) as client:
        before = load_of(stub).num_steps
        with pytest.raises(DeadlineExpired):
            client.generate("too late", max_tokens=5, timeout_s=timeout_s)
        assert load_of(stub).num_steps == before


def test_a_deadline_in_ten_years_is_the_servers_own(calm: Cluster) -> None:
    """Absurd deadlines are clamped, not errors."""
    with Client(calm.target) as client:
        answer = client.generate("patient", max_tokens=4, timeout_s=10 * 365 * 86_400.0)
    assert answer.usage.num_completion_tokens == 4


def test_p3_after_its_deadline_a_request_costs_at_most_a_few_more_steps(calm: Cluster) -> None:
    """The engine keeps the deadline itself: it need not wait for the cancel to arrive."""
    with calm.engine_stub() as stub, Client(calm.target) as client:
        with pytest.raises(DeadlineExpired):
            client.generate("measured", max_tokens=LONG, timeout_s=0.3)
        calm.wait_until_idle()
        steps = load_of(stub).num_steps
        end = time.monotonic() + 0.2
        eventually(lambda: time.monotonic() > end)
        assert load_of(stub).num_steps == steps
