"""The servicer over a real channel."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from steeple.common.v1 import chat_pb2
from steeple.tokenizer.v1 import detokenize_pb2 as detok
from steeple.tokenizer.v1 import tokenizer_service_pb2 as pb
from steeple.tokenizer.v1 import tokenizer_service_pb2_grpc as pb_grpc
from steeple_rpc import status
from steeple_rpc.channel import open_channel
from steeple_rpc.errors import InvalidRequest, NotFound, ServiceError
from steeple_rpc.server import bind, make_server
from tests.support.templates import in_process
from tests.support.tokenizers import loaded_family, write_model
from tokenizer_svc.loader import load_tokenizer
from tokenizer_svc.service import SessionBounds, TokenizerService
from tokenizer_svc.settings import TokenizerSettings
from tokenizer_svc.tokenizer import TextBounds


@dataclass
class Harness:
    """A running service and a stub that calls it."""

    service: TokenizerService
    stub: Any  # grpc's stubs differ between sync and async
    server: grpc.aio.Server


class Clock:
    """Stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def harness(tmp_path: Path, clock: Clock) -> AsyncIterator[Harness]:
    tokenizers = {name: loaded_family(name) for name in ("byte_level", "metaspace")}
    tokenizers["plain"] = load_tokenizer(
        "plain", write_model(tmp_path / "m", chat_template=None), in_process
    )
    settings = TokenizerSettings(listen=f"unix:{tmp_path}/s", model=("unused",))
    server = make_server(settings)
    with ThreadPoolExecutor(2) as executor:
        service = TokenizerService(
            tokenizers,
            executor,
            TextBounds(max_tokens=2000, template_cpu_s=1.0),
            SessionBounds(ttl_s=600.0, max_sessions=100),
            clock,
        )
        pb_grpc.add_TokenizerServiceServicer_to_server(service, server)
        address = bind(server, settings)
        await server.start()
        running = asyncio.create_task(service.run())
        async with open_channel(address) as channel:
            yield Harness(service, pb_grpc.TokenizerServiceStub(channel), server)
        await server.stop(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def failure(call: Any) -> ServiceError:
    """The error that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return status.from_call(caught.value)


def token(text: str) -> int:
    return loaded_family("byte_level").detokenizer.vocabulary.tokens.index(text)


def opening(session: int, model: str = "byte_level", **options: Any) -> detok.SessionCommand:
    opened = detok.OpenSession(model=model, **options)
    return detok.SessionCommand(session=session, open=opened)


def push(session: int, at: int, ids: Sequence[int], *, final: bool = False) -> detok.SessionCommand:
    pushed = detok.PushTokens(first_position=at, ids=ids, final=final)
    return detok.SessionCommand(session=session, push=pushed)


def message(*commands: detok.SessionCommand) -> detok.DetokenizeRequest:
    return detok.DetokenizeRequest(commands=commands)


async def read(call: Any) -> detok.DetokenizeResponse | None:
    """The next message; None at the end."""
    response = await call.read()
    return None if response is grpc.aio.EOF else response


async def updates_of(call: Any, count: int) -> list[detok.SessionUpdate]:
    """So many updates, however they are packed."""
    updates: list[detok.SessionUpdate] = []
    while len(updates) < count:
        response = await read(call)
        assert response is not None
        updates += response.updates
    return updates


async def test_encode_answers_each_input(harness: Harness) -> None:
    """A faulty input is its own result; the others do not notice."""
    request = pb.EncodeRequest(
        model="byte_level",
        inputs=[
            pb.EncodeInput(text="hello world"),
            pb.EncodeInput(text="hello world", add_special_tokens=False),
            pb.EncodeInput(text="hello world", max_tokens=1),
            pb.EncodeInput(text="x" * 20_000),
            pb.EncodeInput(text="</s>", add_special_tokens=False),
        ],
    )
    with_start, without, too_many, too_long, special = (await harness.stub.Encode(request)).results
    assert list(with_start.prompt.ids) == [token("<s>"), *without.prompt.ids]
    assert with_start.prompt.tail_start == len(with_start.prompt.ids) - 1
    assert status.from_proto(too_many.error).reason == "PROMPT_TOO_LONG"
    assert "the limit is 1" in too_many.error.message
    assert "20000 characters" in too_long.error.message
    assert list(special.prompt.ids) == [token("</s>")]


async def test_encode_and_decode_are_inverse(harness: Harness) -> None:
    text = "hello 你好 🦊"
    inputs = [pb.EncodeInput(text=text)]
    encoded = await harness.stub.Encode(pb.EncodeRequest(model="byte_level", inputs=inputs))
    ids = encoded.results[0].prompt.ids
    request = pb.DecodeRequest(model="byte_level", inputs=[pb.DecodeInput(ids=ids)])
    assert (await harness.stub.Decode(request)).results[0].text == text
    request.skip_special_tokens = False
    assert (await harness.stub.Decode(request)).results[0].text == f"<s>{text}"


async def test_decode_answers_each_input(harness: Harness) -> None:
    """An id out of range is its own input's fault."""
    size = loaded_family("byte_level").info.vocab_size
    inputs = [pb.DecodeInput(ids=[size]), pb.DecodeInput(ids=[token("a")]), pb.DecodeInput()]
    reply = await harness.stub.Decode(pb.DecodeRequest(model="byte_level", inputs=inputs))
    error = status.from_proto(reply.results[0].error)
    assert (type(error), error.reason, error.field) == (
        InvalidRequest,
        "TOKEN_OUT_OF_RANGE",
        "ids",
    )
    assert [result.text for result in reply.results[1:]] == ["a", ""]


async def test_an_unknown_model_is_not_found(harness: Harness) -> None:
    """By every RPC alike."""
    for call in (
        harness.stub.Encode(pb.EncodeRequest(model="x")),
        harness.stub.Decode(pb.DecodeRequest(model="x")),
        harness.stub.RenderChat(pb.RenderChatRequest(model="x")),
        harness.stub.GetTokenizerInfo(pb.GetTokenizerInfoRequest(model="x")),
    ):
        error = await failure(call)
        assert (type(error), error.reason, error.field) == (NotFound, "MODEL_NOT_FOUND", "model")


async def test_too_many_inputs_fail_the_call(harness: Harness) -> None:
    encode = pb.EncodeRequest(model="byte_level", inputs=[pb.EncodeInput()] * 257)
    decode = pb.DecodeRequest(model="byte_level", inputs=[pb.DecodeInput()] * 257)
    for call in (harness.stub.Encode(encode), harness.stub.Decode(decode)):
        assert (await failure(call)).field == "inputs"


async def test_tokenizers_tell_what_they_are(harness: Harness) -> None:
    """All of them, or the one asked for."""
    reply = await harness.stub.GetTokenizerInfo(pb.GetTokenizerInfoRequest())
    known = {info.model: (info.decoder, info.has_chat_template) for info in reply.tokenizers}
    assert known == {
        "byte_level": ("byte_level", True),
        "metaspace": ("sentencepiece", True),
        "plain": ("byte_level", False),
    }
    reply = await harness.stub.GetTokenizerInfo(pb.GetTokenizerInfoRequest(model="plain"))
    assert [len(info.tokenizer_fingerprint) for info in reply.tokenizers] == [64]


async def test_a_conversation_is_rendered_and_encoded(harness: Harness) -> None:
    """Parts are joined; the tail starts at the last token that is not special."""
    parts = [chat_pb2.ContentPart(text="hel"), chat_pb2.ContentPart(text="lo")]
    asked = chat_pb2.ChatMessage(role=chat_pb2.ROLE_USER, parts=parts)
    request = pb.RenderChatRequest(model="byte_level", messages=[asked])
    prompt = (await harness.stub.RenderChat(request)).prompt
    text = "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    inputs = [pb.EncodeInput(text=text, add_special_tokens=False)]
    reference = await harness.stub.Encode(pb.EncodeRequest(model="byte_level", inputs=inputs))
    assert prompt == reference.results[0].prompt


async def test_tools_reach_the_template(harness: Harness) -> None:
    """This template ignores them; wrong ones are refused."""
    asked = chat_pb2.ChatMessage(role=chat_pb2.ROLE_USER)
    tool = chat_pb2.Tool(name="f", parameters_json='{"type": "object"}')
    request = pb.RenderChatRequest(model="byte_level", messages=[asked], tools=[tool])
    assert len((await harness.stub.RenderChat(request)).prompt.ids) > 0


@pytest.mark.parametrize(
    ("request_", "reason", "field"),
    [
        ({}, "INVALID_REQUEST", "messages"),
        ({"messages": [chat_pb2.ChatMessage()]}, "INVALID_REQUEST", "messages[0].role"),
        (
            {
                "messages": [
                    chat_pb2.ChatMessage(
                        role=chat_pb2.ROLE_USER,
                        parts=[
                            chat_pb2.ContentPart(text="a"),
                            chat_pb2.ContentPart(image=b"png"),
                        ],
                    )
                ]
            },
            "NOT_IMPLEMENTED",
            "messages[0].parts[1].image",
        ),
        (
            {
                "messages": [
                    chat_pb2.ChatMessage(
                        role=chat_pb2.ROLE_ASSISTANT,
                        tool_calls=[chat_pb2.ToolCall(name="f", arguments_json="[1]")],
                    )
                ]
            },
            "INVALID_REQUEST",
            "messages[0].tool_calls[0].arguments_json",
        ),
        (
            {"tools": [chat_pb2.Tool(name="f", parameters_json='{"a": NaN}')]},
            "INVALID_REQUEST",
            "tools[0].parameters_json",
        ),
        ({"tools": [chat_pb2.Tool()]}, "INVALID_REQUEST", "tools[0].name"),
        (
            {"template_args": {"thinking": "{"}},
            "INVALID_REQUEST",
            "template_args.thinking",
        ),
        (
            {"template_args": {"thinking": "[" * 10_000}},
            "INVALID_REQUEST",
            "template_args.thinking",
        ),
        (
            {"template_args": {"documents": " " * 20_000}},
            "INVALID_REQUEST",
            "template_args",
        ),
    ],
)
async def test_a_wrong_conversation_is_refused_by_field(
    harness: Harness, request_: dict[str, Any], reason: str, field: str
) -> None:
    request = pb.RenderChatRequest(model="byte_level", **request_)
    error = await failure(harness.stub.RenderChat(request))
    assert (error.reason, error.field) == (reason, field)


async def test_a_model_without_template_cannot_chat(harness: Harness) -> None:
    asked = chat_pb2.ChatMessage(role=chat_pb2.ROLE_USER)
    call = harness.stub.RenderChat(pb.RenderChatRequest(model="plain", messages=[asked]))
    assert (await failure(call)).reason == "NO_CHAT_TEMPLATE"


async def test_many_sessions_share_a_stream(harness: Harness) -> None:
    """Of two models, interleaved id by id; each gets its own text."""
    texts = {n: f"session {n} 🦊 你好" for n in range(40)}
    models = {n: ("byte_level", "metaspace")[n % 2] for n in texts}
    bounds = TextBounds(max_tokens=1000, template_cpu_s=1.0)
    ids = {
        n: loaded_family(models[n]).encode(text, bounds, add_special_tokens=False).ids
        for n, text in texts.items()
    }
    call = harness.stub.Detokenize()
    await call.write(message(*(opening(n, models[n]) for n in texts)))
    for place in range(max(map(len, ids.values()))):
        live = [n for n in texts if place < len(ids[n])]
        await call.write(
            message(
                *(push(n, place, [ids[n][place]], final=place == len(ids[n]) - 1) for n in live)
            )
        )
    await call.done_writing()
    got = dict.fromkeys(texts, "")
    finals = []
    async for response in call:
        for update in response.updates:
            got[update.session] += update.text
            if update.final:
                finals.append(update.session)
                assert update.ids_consumed == len(ids[update.session])
    assert sorted(finals) == list(texts)
    for n, text in got.items():
        assert text == loaded_family(models[n]).decode(ids[n], skip_special_tokens=False)


async def test_a_stop_is_told_and_closes(harness: Harness) -> None:
    """With the ids that it took; what follows is ignored."""
    call = harness.stub.Detokenize()
    opened = opening(1, stop=["bc"], token_texts=True)
    await call.write(message(opened, push(1, 0, [token(c) for c in "abcd"])))
    (update,) = await updates_of(call, 1)
    assert (update.text, update.matched_stop, update.ids_consumed) == ("a", "bc", 3)
    assert [told.text for told in update.tokens] == ["a", "b", "c"]
    await call.write(message(push(1, 4, [token("e")]), opening(2), push(2, 0, [token("z")])))
    (update,) = await updates_of(call, 1)
    assert (update.session, update.text) == (2, "z")
    call.cancel()


async def test_faults_end_their_session_only(harness: Harness) -> None:
    """Each with its reason and field."""
    size = loaded_family("byte_level").info.vocab_size
    call = harness.stub.Detokenize()
    await call.write(
        message(
            opening(1, "x"),
            opening(2, stop=[""]),
            opening(3),
            push(3, 1, [token("a")]),
            opening(4),
            push(4, 0, [size]),
            push(5, 0, []),
            detok.SessionCommand(session=6),
            opening(7),
            push(7, 0, [token("a")]),
        )
    )
    updates = await updates_of(call, 7)
    errors = [status.from_proto(u.error) for u in updates if u.HasField("error")]
    assert [(error.reason, error.field) for error in errors] == [
        ("MODEL_NOT_FOUND", "model"),
        ("OUT_OF_RANGE", "stop[0]"),
        ("OUT_OF_ORDER", "first_position"),
        ("TOKEN_OUT_OF_RANGE", "ids"),
        ("UNKNOWN_SESSION", "session"),
        ("INVALID_REQUEST", "command"),
    ]
    assert (updates[-1].session, updates[-1].text) == (7, "a")
    call.cancel()


async def test_a_session_left_alone_expires(harness: Harness, clock: Clock) -> None:
    call = harness.stub.Detokenize()
    await call.write(message(opening(1), push(1, 0, [token("a")])))
    await updates_of(call, 1)
    clock.now = 600.0
    await harness.service.expire_sessions()
    (update,) = await updates_of(call, 1)
    assert status.from_proto(update.error).reason == "SESSION_EXPIRED"
    call.cancel()


async def test_draining_lets_sessions_end(harness: Harness) -> None:
    """The gateway is told; new sessions are refused; the stream ends with the last session."""
    call = harness.stub.Detokenize()
    await call.write(message(opening(1), push(1, 0, [token("a")])))
    await updates_of(call, 1)
    harness.service.drain()
    assert await read(call) == detok.DetokenizeResponse(draining=True)
    await call.write(message(opening(2)))
    (update,) = await updates_of(call, 1)
    assert status.from_proto(update.error).reason == "DRAINING"
    await call.write(message(push(1, 1, [token("b")], final=True)))
    (update,) = await updates_of(call, 1)
    assert (update.text, update.final) == ("b", True)
    assert await read(call) is None
    assert await call.code() is grpc.StatusCode.OK
    late = harness.stub.Detokenize()
    assert await read(late) == detok.DetokenizeResponse(draining=True)
    assert await read(late) is None


async def test_a_gateway_that_leaves_takes_its_sessions_along(harness: Harness) -> None:
    """By half-closing, and by cancelling."""
    call = harness.stub.Detokenize()
    await call.write(message(opening(1), push(1, 0, [token("a")])))
    await updates_of(call, 1)
    assert harness.service.num_streams == 1
    await call.done_writing()
    assert await read(call) is None
    assert await call.code() is grpc.StatusCode.OK
    assert harness.service.num_streams == 0
    call = harness.stub.Detokenize()
    await call.write(message(opening(1), push(1, 0, [token("a")])))
    await updates_of(call, 1)
    call.cancel()
    # Stopping waits for handlers: none may be left behind.
    await harness.server.stop(5)
    assert harness.service.num_streams == 0


async def test_a_malformed_message_ends_the_stream(harness: Harness, tmp_path: Path) -> None:
    """As INVALID_ARGUMENT, not as an internal fault."""
    async with open_channel(f"unix:{tmp_path}/s") as channel:
        untyped: Any = channel  # bytes instead of messages
        call = untyped.stream_stream("/steeple.tokenizer.v1.TokenizerService/Detokenize")()
        await call.write(b"\xff\xff")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
    assert status.from_call(caught.value).reason == "MALFORMED_MESSAGE"
