"""TokenizationService over a real channel; the tokenizer service is scripted."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from gateway.services import tokenization
from gateway.services.tokenization import TokenizationService
from gateway.upstream_values import EncodeInput
from steeple.common.v1 import chat_pb2 as common_chat_pb2
from steeple.common.v1 import finish_reason_pb2
from steeple.inference.v1 import (
    tokenization_service_pb2,
    tokenization_service_pb2_grpc,
)
from steeple_rpc import status
from steeple_rpc.channel import open_channel
from steeple_rpc.errors import InvalidRequest, NotFound, Unavailable, Unsupported
from tests.support.gateway_fakes import (
    EOS,
    MODEL,
    FakeBackends,
    catalog_of,
    engine_state,
)
from tests.support.servers import failure, serving

Finish = finish_reason_pb2.FinishReason
# They exist in the stubs only, and differ by service.
Stub = Any


@pytest.fixture
def backends() -> FakeBackends:
    return FakeBackends(catalog_of(engine_state()), [])


@pytest.fixture
async def tokenizing(backends: Any) -> AsyncIterator[Stub]:
    def add(server: grpc.aio.Server) -> None:
        tokenization_service_pb2_grpc.add_TokenizationServiceServicer_to_server(
            TokenizationService(backends), server
        )

    async with serving(add) as served, open_channel(served.address) as channel:
        yield tokenization_service_pb2_grpc.TokenizationServiceStub(channel)


def conversation(kind: type[Any], text: str = "hi") -> Any:
    request = kind()
    request.messages.add(role=common_chat_pb2.ROLE_USER).parts.add(text=text)
    return request


def tokenize(*inputs: Any) -> tokenization_service_pb2.TokenizeRequest:
    return tokenization_service_pb2.TokenizeRequest(inputs=inputs)


def item(**given: Any) -> tokenization_service_pb2.TokenizeInput:
    return tokenization_service_pb2.TokenizeInput(**given)


async def test_texts_and_conversations_become_ids_in_order(tokenizing: Stub) -> None:
    chat = conversation(tokenization_service_pb2.Conversation, "cd")
    reply = await tokenizing.Tokenize(tokenize(item(text="ab"), item(chat=chat)))
    assert reply.model == MODEL
    assert [list(r.tokens.ids) for r in reply.results] == [[97, 98], [99, 100]]


async def test_special_tokens_are_added_unless_the_caller_says_no(
    tokenizing: Stub, backends: FakeBackends
) -> None:
    given: tuple[dict[str, bool], ...] = (
        {},
        {"add_special_tokens": True},
        {"add_special_tokens": False},
    )
    await tokenizing.Tokenize(tokenize(*(item(text="a", **options) for options in given)))
    (batch,) = backends.tokenizer.batches
    assert batch == [
        EncodeInput(text="a", add_special_tokens=special) for special in (True, True, False)
    ]


def with_tools() -> Any:
    chat = conversation(tokenization_service_pb2.Conversation)
    chat.tools.add(name="add")
    return chat


def with_parts(count: int) -> Any:
    chat = conversation(tokenization_service_pb2.Conversation)
    for _ in range(count - 1):
        chat.messages[0].parts.add(text="x")
    return chat


def with_image() -> Any:
    chat = conversation(tokenization_service_pb2.Conversation)
    chat.messages[0].parts.add(image=b"x")
    return chat


@pytest.mark.parametrize(
    ("bad", "kind", "field"),
    [
        (item(), InvalidRequest, "input"),
        (item(chat=tokenization_service_pb2.Conversation()), InvalidRequest, "messages"),
        (item(chat=with_parts(65)), InvalidRequest, "messages[0].parts"),
        (item(chat=with_image()), Unsupported, "messages[0].parts[1].image"),
        (item(chat=with_tools()), Unsupported, "chat.tools"),
    ],
)
async def test_one_bad_input_spoils_no_other(
    tokenizing: Stub, bad: Any, kind: type[Exception], field: str
) -> None:
    reply = await tokenizing.Tokenize(tokenize(item(text="a"), bad, item(text="b")))
    before, wrong, after = reply.results
    assert (list(before.tokens.ids), list(after.tokens.ids)) == ([97], [98])
    error = status.from_proto(wrong.error)
    assert isinstance(error, kind)
    assert error.field == field


async def test_a_batch_is_one_call_within_the_callers_time(
    tokenizing: Stub, backends: FakeBackends
) -> None:
    """Whatever stands between the texts: 256 calls in a row would be slow for everybody."""
    chat = conversation(tokenization_service_pb2.Conversation, "cd")
    request = tokenize(item(text="a"), item(chat=chat), item(text="!"), item(text="b"))
    reply = await tokenizing.Tokenize(request, timeout=30.0)
    assert [list(r.tokens.ids) for r in reply.results] == [[97], [99, 100], [], [98]]
    assert reply.results[2].HasField("error")
    decoding = tokenization_service_pb2.DetokenizeRequest()
    for _ in range(3):
        decoding.inputs.add(ids=[97])
    await tokenizing.Detokenize(decoding, timeout=30.0)
    assert [len(batch) for batch in backends.tokenizer.batches] == [3, 3]
    for timeout_s in backends.tokenizer.timeouts:
        assert timeout_s is not None
        assert 20.0 < timeout_s < 32.0


async def test_a_tokenizer_that_is_lost_fails_the_call_and_not_each_item(
    tokenizing: Stub, backends: FakeBackends
) -> None:
    backends.tokenizer.error = Unavailable("away", reason="TOKENIZER_LOST")
    chat = conversation(tokenization_service_pb2.Conversation, "cd")
    error = await failure(tokenizing.Tokenize(tokenize(item(text="a"), item(chat=chat))))
    assert isinstance(error, Unavailable)
    assert error.reason == "TOKENIZER_LOST"


async def test_ids_become_texts_in_order_and_errors_are_per_item(tokenizing: Stub) -> None:
    """Special tokens are left out unless the caller wants them; the fake refuses those."""
    request = tokenization_service_pb2.DetokenizeRequest()
    request.inputs.add(ids=[97, 98])
    request.inputs.add(ids=[EOS])
    reply = await tokenizing.Detokenize(request)
    assert [result.text for result in reply.results] == ["ab", "\0"]
    request.skip_special_tokens = False
    first_result, second = (await tokenizing.Detokenize(request)).results
    assert first_result.text == "ab"
    assert isinstance(status.from_proto(second.error), InvalidRequest)


@pytest.mark.parametrize("rpc", ["Tokenize", "Detokenize"])
async def test_a_batch_has_its_limit(tokenizing: Stub, rpc: str) -> None:
    request = getattr(tokenization_service_pb2, f"{rpc}Request")()
    for _ in range(tokenization.MAX_INPUTS + 1):
        request.inputs.add()
    error = await failure(getattr(tokenizing, rpc)(request))
    assert isinstance(error, InvalidRequest)
    assert (error.field, error.reason) == ("inputs", "TOO_MANY")


@pytest.mark.parametrize("rpc", ["Tokenize", "Detokenize"])
async def test_a_batch_of_an_unknown_model_is_not_found(tokenizing: Stub, rpc: str) -> None:
    request = getattr(tokenization_service_pb2, f"{rpc}Request")(model="gpt")
    error = await failure(getattr(tokenizing, rpc)(request))
    assert isinstance(error, NotFound)
    assert error.field == "model"
