"""The servicer over a real channel: every RPC but Detokenize."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from steeple.common.v1 import chat_pb2
from steeple.tokenizer.v1 import tokenizer_service_pb2 as pb
from steeple_rpc import status
from steeple_rpc.errors import InvalidRequest, NotFound
from tests.support.servers import failure
from tests.support.tokenizer_harness import Harness, serving_tokenizers, token
from tests.support.tokenizers import loaded_family


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    async with serving_tokenizers(tmp_path) as harness:
        yield harness


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
