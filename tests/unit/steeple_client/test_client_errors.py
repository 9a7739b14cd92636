"""What a caller of either client meets when a call cannot be made or fails."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from steeple_client import AsyncClient, Client, Finished, FinishReason, TextDelta, user
from steeple_rpc.errors import DeadlineExpired, EngineFault, InvalidRequest, Overloaded, Unavailable
from tests.support.answers import generate_events, played, replied
from tests.support.client_calls import STARTED, Calls, refusal
from tests.support.scripted import ScriptedInference
from tests.support.servers import Serving


@pytest.mark.parametrize("name", ["stop", "bad_words"])
async def test_a_single_text_is_no_list(calls: Calls, name: str) -> None:
    """Taken for one, each of its letters would count."""
    with pytest.raises(TypeError, match=name):
        await calls.generate("x", **{name: "END"})


@pytest.mark.parametrize("way", ["generate", "generate_stream", "chat", "chat_stream"])
async def test_an_unknown_option_is_refused_before_it_is_sent(
    calls: Calls, script: ScriptedInference, way: str
) -> None:
    prompt: Any = "x" if way.startswith("generate") else [user("x")]
    with pytest.raises(TypeError, match="temprature"):
        await getattr(calls, way)(prompt, temprature=0.5)
    assert script.requests == []


@pytest.mark.parametrize("options", [{"max_tokens": -1}, {"max_tokens": 1 << 40}, {"seed": -1}])
async def test_a_number_that_cannot_travel_is_an_invalid_request(
    calls: Calls, script: ScriptedInference, options: dict[str, int]
) -> None:
    """As the server would have said, could it have been asked."""
    error = await refusal(calls.generate("x", **options))
    assert isinstance(error, InvalidRequest)
    assert script.requests == []


async def test_a_text_that_is_no_unicode_is_an_invalid_request(calls: Calls) -> None:
    """Half a surrogate pair: what Python makes of undecodable bytes on its command line."""
    assert isinstance(await refusal(calls.generate("\ud800")), InvalidRequest)
    assert isinstance(await refusal(calls.chat([user("\udcff")])), InvalidRequest)


@pytest.mark.parametrize("way", ["generate", "generate_stream", "chat", "chat_stream"])
async def test_a_refusal_is_typed_and_whole(
    calls: Calls, script: ScriptedInference, way: str
) -> None:
    sent = Overloaded("full", reason="QUEUE_FULL", field="model", retry_after_s=2.0)
    setattr(script, way, played([], sent) if way.endswith("stream") else replied(sent))
    prompt: Any = "x" if way.startswith("generate") else [user("x")]
    error = await refusal(getattr(calls, way)(prompt))
    assert isinstance(error, Overloaded)
    assert vars(error) == vars(sent)


async def test_events_before_an_error_arrive(served: Serving, script: ScriptedInference) -> None:
    script.generate_stream = played(generate_events("4")[:2], EngineFault("internal error 1"))
    async with (
        AsyncClient(served.address) as client,
        aclosing(client.generate_stream("x")) as events,
    ):
        assert await anext(events) == STARTED
        assert isinstance(await anext(events), TextDelta)
        with pytest.raises(EngineFault):
            await anext(events)


async def test_what_only_a_later_contract_knows_is_passed_over(
    calls: Calls, script: ScriptedInference
) -> None:
    """An event of a new kind is no usage of zero; a new reason to end is one all the same."""
    started, *others, finished, usage = generate_events("4")
    finished.finished.finish_reason = 99  # type: ignore[assignment] # of a later contract
    unknown = type(started)()
    script.generate_stream = played([started, unknown, *others, finished, unknown, usage])
    events = await calls.generate_stream("x")
    assert [type(event).__name__ for event in events] == [
        "Started",
        "TextDelta",
        "Finished",
        "Usage",
    ]
    assert events[2] == Finished(reason=FinishReason.OTHER, stop=0)


async def test_a_time_limit_ends_the_call(calls: Calls, script: ScriptedInference) -> None:
    async def never(_: Any) -> Any:
        await asyncio.Event().wait()

    script.generate = never
    error = await refusal(calls.generate("x", timeout_s=0.05))
    assert isinstance(error, DeadlineExpired)
    assert error.reason == DeadlineExpired.default_reason


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    async with AsyncClient("127.0.0.1:1") as client:
        assert isinstance(await refusal(client.generate("x")), Unavailable)
    with Client("127.0.0.1:1") as blocking:
        error = await refusal(asyncio.to_thread(blocking.generate, "x"))
    assert isinstance(error, Unavailable)
