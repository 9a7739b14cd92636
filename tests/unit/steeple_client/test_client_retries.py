"""Both clients make a call again where that changes nothing, and else tell how it failed."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest

from steeple_client import (
    AsyncClient,
    Client,
    DeadlineExpired,
    EngineFault,
    Overloaded,
    Retries,
    ServiceError,
    Unavailable,
)
from steeple_rpc.context import current_rpc
from tests.support.answers import generate_events, generate_reply, replied
from tests.support.client_calls import Asynchronous, Calls, Threaded, refusal
from tests.support.scripted import ScriptedInference
from tests.support.servers import Serving

QUICK = Retries(max_attempts=3, first_pause_s=0.01, max_pause_s=100.0)
DRAINING = Unavailable("draining", reason="DRAINING")
FULL = Overloaded("full", reason="QUEUE_FULL", retry_after_s=0.05)


@pytest.fixture(params=["sync", "async"])
async def calls(served: Serving, request: pytest.FixtureRequest) -> AsyncIterator[Calls]:
    """Patient ones, other than elsewhere in this folder."""
    if request.param == "sync":
        with Client(served.address, retries=QUICK) as client:
            yield Threaded(client)
    else:
        async with AsyncClient(served.address, retries=QUICK) as client:
            yield Asynchronous(client)


def failing_first(failures: list[ServiceError], *, after: int = 0) -> Any:
    """A stream script: each failure once, after so many events; then a whole answer."""
    left = list(failures)

    async def play(_: Any) -> AsyncGenerator[Any, None]:
        failure = left.pop(0) if left else None
        events = generate_events("4")
        for event in events if failure is None else events[:after]:
            yield event
        if failure is not None:
            raise failure

    return play


@pytest.mark.parametrize("failure", [DRAINING, FULL], ids=["draining", "full"])
async def test_a_stream_that_has_not_begun_is_asked_for_again(
    calls: Calls, script: ScriptedInference, failure: ServiceError
) -> None:
    script.generate_stream = failing_first([failure, failure])
    assert len(await calls.generate_stream("x")) == 4
    assert len(script.requests) == 3


async def test_a_stream_that_has_begun_is_not(calls: Calls, script: ScriptedInference) -> None:
    """Its text would be told twice."""
    script.generate_stream = failing_first([DRAINING], after=1)
    error = await refusal(calls.generate_stream("x"))
    assert (error.reason, len(script.requests)) == ("DRAINING", 1)


async def test_the_last_attempt_tells_its_failure(calls: Calls, script: ScriptedInference) -> None:
    script.generate_stream = failing_first([DRAINING] * 9)
    assert vars(await refusal(calls.generate_stream("x"))) == vars(DRAINING)
    assert len(script.requests) == 3


async def test_a_whole_answer_is_asked_for_again(calls: Calls, script: ScriptedInference) -> None:
    failures: list[ServiceError] = [DRAINING, FULL]

    async def give(_: Any) -> Any:
        if failures:
            raise failures.pop()
        return generate_reply("4")

    script.generate = give
    assert (await calls.generate("x")).text == "4"
    assert len(script.requests) == 3


@pytest.mark.parametrize("failure", [EngineFault("internal error"), Unavailable("lost")])
async def test_a_whole_answer_that_may_have_been_computed_is_not(
    calls: Calls, script: ScriptedInference, failure: ServiceError
) -> None:
    script.generate = replied(failure)
    assert vars(await refusal(calls.generate("x"))) == vars(failure)
    assert len(script.requests) == 1


@pytest.mark.parametrize("way", ["generate", "generate_stream"])
async def test_a_call_that_would_wait_beyond_its_deadline_fails_at_once(
    calls: Calls, script: ScriptedInference, way: str
) -> None:
    """With the reason, instead of DEADLINE_EXCEEDED after a wait."""
    sent = Overloaded("full", retry_after_s=60.0)
    script.generate, script.generate_stream = replied(sent), failing_first([sent])
    assert isinstance(await refusal(getattr(calls, way)("x", timeout_s=30.0)), Overloaded)
    assert len(script.requests) == 1


async def test_a_deadline_counts_over_all_attempts(calls: Calls, script: ScriptedInference) -> None:
    """A later attempt has what is left: the pause before it, at least, is gone."""
    left_s: list[float] = []

    async def refuse_first(_: Any) -> Any:
        left_s.append((current_rpc().deadline_s or 0.0) - asyncio.get_running_loop().time())
        if len(left_s) == 1:
            raise Overloaded("full", retry_after_s=0.5)
        return generate_reply("4")

    script.generate = refuse_first
    await calls.generate("x", timeout_s=9.0)
    first_s, second_s = left_s
    # On its way the library rounds it up: below ten seconds to hundredths.
    assert first_s < 9.1
    assert second_s < 9.1 - 0.5


async def test_a_clients_own_time_limit_is_that_of_its_generations(
    served: Serving, script: ScriptedInference
) -> None:
    async def hang(_: Any) -> Any:
        await asyncio.Event().wait()

    script.generate = hang
    async with AsyncClient(served.address, timeout_s=0.05) as client:
        assert isinstance(await refusal(client.generate("x")), DeadlineExpired)
    with Client(served.address, timeout_s=0.05) as blocking:
        error = await refusal(asyncio.to_thread(blocking.generate, "x"))
    assert isinstance(error, DeadlineExpired)
