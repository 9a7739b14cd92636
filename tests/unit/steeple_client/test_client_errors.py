"""What a caller of either client meets when a call cannot be made or fails."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from steeple.common.v1 import finish_reason_pb2
from steeple_client import (
    AsyncClient,
    Client,
    Finished,
    FinishReason,
    Message,
    Started,
    TextDelta,
    Usage,
    user,
)
from steeple_rpc.errors import DeadlineExpired, EngineFault, InvalidRequest, Overloaded, Unavailable
from tests.support.answers import chat_reply, generate_events, played, replied
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


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"max_tokens": -1}, "stopping.max_tokens"),
        ({"max_tokens": 1 << 40, "seed": 1}, "stopping.max_tokens"),
        ({"seed": -1}, "sampling.seed"),
        ({"priority": 1 << 40}, "priority"),
        ({"model": "\ud800"}, "model"),
    ],
)
async def test_a_value_that_cannot_travel_is_an_invalid_request(
    calls: Calls, script: ScriptedInference, options: dict[str, Any], field: str
) -> None:
    """As the server would have said, could it have been asked: it names the field."""
    error = await refusal(calls.generate("x", **options))
    assert isinstance(error, InvalidRequest)
    assert error.field == field
    assert field in error.message
    assert script.requests == []


@pytest.mark.parametrize(
    ("prompt", "options", "told"),
    [
        ("x", {"max_tokens": "4"}, "max_tokens: "),
        ("x", {"temperature": "hot"}, "temperature: "),
        ("x", {"max_new_tokens": 4}, "did you mean max_tokens"),
        (["two", "prompts"], {}, "a prompt is a text, or token ids"),
    ],
)
async def test_a_value_of_another_type_is_told_by_its_name(
    calls: Calls, prompt: Any, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(TypeError, match=told):
        await calls.generate(prompt, **options)


async def test_what_is_no_message_is_told_how_to_make_one(calls: Calls) -> None:
    """As people write who come from other clients."""
    messages: Any = [{"role": "user", "content": "hi"}]
    with pytest.raises(TypeError, match=r"user\(\), assistant\(\) and system\(\)"):
        await calls.chat(messages)
    error = await refusal(calls.chat([user("x"), Message("usr", "x")]))
    assert (error.reason, error.field) == ("BAD_ROLE", "messages[1].role")


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("target", ["http://127.0.0.1:50051", "gateway", "gateway:70000", ""])
def test_what_is_no_target_is_refused_before_anything_is_looked_up(
    kind: type[Client] | type[AsyncClient], target: str
) -> None:
    with pytest.raises(InvalidRequest, match="HOST:PORT"):
        kind(target)


async def test_a_conversation_may_be_one_message_or_its_text(
    calls: Calls, script: ScriptedInference
) -> None:
    script.chat = replied(chat_reply("4"))
    for conversation in ("2+2?", user("2+2?"), [user("2+2?")]):
        await calls.chat(conversation)  # type: ignore[arg-type] # what the others forward, too
    first, *others = script.requests
    assert others == [first, first]


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
    assert [type(event) for event in events] == [Started, TextDelta, Finished, Usage]
    assert events[2] == Finished(reason=FinishReason.OTHER, stop=0)


@pytest.mark.parametrize("reason", finish_reason_pb2.FinishReason.values()[1:])
async def test_every_reason_to_end_of_this_contract_is_known_by_its_name(
    calls: Calls, script: ScriptedInference, reason: "finish_reason_pb2.FinishReason.ValueType"
) -> None:
    events = generate_events("4")
    events[2].finished.finish_reason = reason
    script.generate_stream = played(events)
    *_, finished, _ = await calls.generate_stream("x")
    assert isinstance(finished, Finished)
    named = finish_reason_pb2.FinishReason.Name(reason).removeprefix("FINISH_REASON_")
    assert finished.reason.name == named


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
