"""The tokenizer service as the gateway calls it, and what a caller is told of its failures."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from gateway.clients.calls import correlation
from gateway.clients.tokenizer import LOST, MAX_ASKS, TokenizerClient
from gateway.upstream_values import EncodeInput, TokenizerFacts
from gateway.values import ChatMessage, ChatPrompt, ToolCall
from steeple.common.v1 import chat_pb2 as common_chat_pb2
from steeple.tokenizer.v1 import tokenizer_service_pb2, tokenizer_service_pb2_grpc
from steeple_rpc import status
from steeple_rpc.channel import open_channel
from steeple_rpc.context import Context, RpcContext, current_rpc, enter_rpc
from steeple_rpc.errors import (
    DeadlineExpired,
    EngineFault,
    InvalidRequest,
    ServiceError,
    Unavailable,
)
from tests.support.servers import Serving, serving
from tests.support.waiting import LIMIT_S

BAD = "bad"
BAD_ID = 404


@dataclass
class Tokenizers(tokenizer_service_pb2_grpc.TokenizerServiceServicer):
    """TokenizerService by script."""

    requests: list[Any] = field(default_factory=list)
    error: ServiceError | None = None
    hangs: bool = False
    num_losses: int = 0
    """So many calls of RenderChat are lost first."""
    rpc_ids: list[str] = field(default_factory=list)

    def add_to(self, server: grpc.aio.Server) -> None:
        tokenizer_service_pb2_grpc.add_TokenizerServiceServicer_to_server(self, server)

    async def Encode(  # noqa: N802 - named by the contract
        self, request: tokenizer_service_pb2.EncodeRequest, context: Context
    ) -> tokenizer_service_pb2.EncodeResponse:
        self.requests.append(request)
        self.rpc_ids.append(current_rpc().request_id)
        if self.hangs:
            await asyncio.Event().wait()
        response = tokenizer_service_pb2.EncodeResponse()
        for item in request.inputs:
            result = response.results.add()
            error = self.error or (InvalidRequest("bad") if item.text == BAD else None)
            if error is None:
                result.prompt.ids.extend([1, 2, 3])
                result.prompt.tail_start = 1
            else:
                result.error.CopyFrom(status.to_proto(error))
        return response

    async def RenderChat(  # noqa: N802 - named by the contract
        self, request: tokenizer_service_pb2.RenderChatRequest, context: Context
    ) -> tokenizer_service_pb2.RenderChatResponse:
        self.requests.append(request)
        self.rpc_ids.append(current_rpc().request_id)
        if self.error is not None:
            raise self.error
        if len(self.requests) <= self.num_losses:
            raise Unavailable("gone", reason=LOST)
        prompt = tokenizer_service_pb2.EncodedPrompt(ids=[4], tail_start=0)
        return tokenizer_service_pb2.RenderChatResponse(prompt=prompt)

    async def Decode(  # noqa: N802 - named by the contract
        self, request: tokenizer_service_pb2.DecodeRequest, context: Context
    ) -> tokenizer_service_pb2.DecodeResponse:
        self.requests.append(request)
        self.rpc_ids.append(current_rpc().request_id)
        response = tokenizer_service_pb2.DecodeResponse()
        for item in request.inputs:
            if BAD_ID in item.ids:
                response.results.add().error.CopyFrom(status.to_proto(InvalidRequest("bad")))
            else:
                response.results.add(text="abc")
        return response

    async def GetTokenizerInfo(  # noqa: N802 - named by the contract
        self, request: tokenizer_service_pb2.GetTokenizerInfoRequest, context: Context
    ) -> tokenizer_service_pb2.GetTokenizerInfoResponse:
        info = tokenizer_service_pb2.TokenizerInfo(
            model="m", vocab_size=9, tokenizer_fingerprint="f", has_chat_template=True
        )
        return tokenizer_service_pb2.GetTokenizerInfoResponse(tokenizers=[info])


@pytest.fixture
def tokenizers() -> Tokenizers:
    return Tokenizers()  # type: ignore[abstract] # the other RPCs are not called


@pytest.fixture
async def served(tokenizers: Tokenizers) -> AsyncIterator[Serving]:
    async with serving(tokenizers.add_to) as served:
        yield served


@pytest.fixture
async def tokenizer(served: Serving) -> AsyncIterator[TokenizerClient]:
    async with open_channel(served.address) as channel:
        yield TokenizerClient(channel)


async def refusal(call: Any) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        await call
    return caught.value


async def test_tokenizers_become_facts_by_model(tokenizer: TokenizerClient) -> None:
    expected = TokenizerFacts(fingerprint="f", vocab_size=9, has_chat_template=True)
    assert await tokenizer.facts() == {"m": expected}


async def test_a_text_is_encoded_as_asked(
    tokenizer: TokenizerClient, tokenizers: Tokenizers
) -> None:
    prompt = await tokenizer.encode("m", "abc", max_tokens=7, timeout_s=None)
    assert (prompt.token_ids, prompt.tail_start) == ((1, 2, 3), 1)
    plain = EncodeInput(text="abc", add_special_tokens=False)
    await tokenizer.encode_each("m", [plain], timeout_s=LIMIT_S)
    (limited,), (free,) = (request.inputs for request in tokenizers.requests)
    assert (limited.text, limited.max_tokens, limited.add_special_tokens) == ("abc", 7, True)
    assert not free.HasField("max_tokens")
    assert free.add_special_tokens is False


async def test_a_conversation_travels_whole(
    tokenizer: TokenizerClient, tokenizers: Tokenizers
) -> None:
    call = ToolCall(call_id="c", name="add", arguments_json="{}")
    turns = (
        ChatMessage(role="user", parts=("a", "b"), name="ann"),
        ChatMessage(role="assistant", parts=(), tool_calls=(call,), reasoning="hm"),
        ChatMessage(role="tool", parts=("4",), tool_call_id="c"),
    )
    chat = ChatPrompt(messages=turns, template_args={"k": "v"}, continue_final_message=True)
    prompt = await tokenizer.render_chat("m", chat, max_tokens=5, timeout_s=None)
    assert prompt.token_ids == (4,)
    (request,) = tokenizers.requests
    assert [m.role for m in request.messages] == [
        common_chat_pb2.ROLE_USER,
        common_chat_pb2.ROLE_ASSISTANT,
        common_chat_pb2.ROLE_TOOL,
    ]
    user, assistant, tool = request.messages
    assert ([part.text for part in user.parts], user.name) == (["a", "b"], "ann")
    assert not user.HasField("reasoning")
    assert (assistant.tool_calls[0].id, assistant.reasoning) == ("c", "hm")
    assert tool.tool_call_id == "c"
    assert dict(request.template_args) == {"k": "v"}
    assert (request.continue_final_message, request.max_tokens) == (True, 5)


async def test_a_batch_is_one_call_with_one_outcome_per_item(
    tokenizer: TokenizerClient, tokenizers: Tokenizers
) -> None:
    """In order, whatever became of the others."""
    encoded = await tokenizer.encode_each(
        "m", [EncodeInput(text=text) for text in ("a", BAD, "b")], timeout_s=None
    )
    decoded = await tokenizer.decode_each(
        "m", [(1, 2), (BAD_ID,), ()], skip_special_tokens=False, timeout_s=None
    )
    assert [isinstance(outcome, InvalidRequest) for outcome in encoded] == [False, True, False]
    assert [outcome for outcome in decoded if isinstance(outcome, str)] == ["abc", "abc"]
    assert isinstance(decoded[1], InvalidRequest)
    encode, decode = tokenizers.requests
    assert [item.text for item in encode.inputs] == ["a", BAD, "b"]
    assert [list(item.ids) for item in decode.inputs] == [[1, 2], [BAD_ID], []]
    assert decode.skip_special_tokens is False


async def test_the_callers_deadline_is_told_as_one(
    tokenizer: TokenizerClient, tokenizers: Tokenizers
) -> None:
    tokenizers.hangs = True
    error = await refusal(tokenizer.encode("m", "abc", max_tokens=None, timeout_s=0.05))
    assert isinstance(error, DeadlineExpired)


@pytest.mark.parametrize("timeout_s", [None, 60.0])
async def test_a_service_that_does_not_answer_is_lost_and_no_deadline_of_the_callers(
    served: Serving, tokenizers: Tokenizers, timeout_s: float | None
) -> None:
    """He would think that he waited too short."""
    tokenizers.hangs = True
    async with open_channel(served.address) as channel:
        impatient = TokenizerClient(channel, timeout_s=0.05)
        error = await refusal(impatient.encode("m", "a", max_tokens=None, timeout_s=timeout_s))
    assert isinstance(error, Unavailable)
    assert error.reason == "TOKENIZER_LOST"


@pytest.mark.parametrize("num_losses", [1, MAX_ASKS - 1, MAX_ASKS])
async def test_a_call_that_is_lost_is_made_again_but_not_for_ever(
    served: Serving, tokenizers: Tokenizers, num_losses: int
) -> None:
    """What is left of a connection may lose the second one, too; what kills services dies alone."""
    tokenizers.num_losses = num_losses
    async with open_channel(served.address) as channel:
        patient = TokenizerClient(channel, patience_s=30.0)
        call = patient.render_chat("m", ChatPrompt(messages=()), max_tokens=1, timeout_s=None)
        if num_losses < MAX_ASKS:
            assert (await call).token_ids == (4,)
        else:
            assert (await refusal(call)).reason == LOST
    assert len(tokenizers.requests) == min(num_losses + 1, MAX_ASKS)


async def test_the_librarys_own_words_do_not_reach_a_caller(
    tokenizers: Tokenizers,
) -> None:
    """Limits between our services are no business of his, and tell of what stands behind."""
    async with (
        serving(tokenizers.add_to, max_message_bytes=1024) as served,
        open_channel(served.address) as channel,
    ):
        tokenizer = TokenizerClient(channel)
        error = await refusal(tokenizer.encode("m", "a" * 2000, max_tokens=1, timeout_s=None))
    assert isinstance(error, EngineFault)
    assert error.reason == EngineFault.default_reason
    assert "1024" not in error.message
    (line,) = [line for line in served.logs if line["event"] == "upstream_refused"]
    assert line["code"] == "RESOURCE_EXHAUSTED"


async def test_calls_name_the_rpc_that_they_are_made_for(
    tokenizer: TokenizerClient, tokenizers: Tokenizers
) -> None:
    """So that the service's log can be laid beside the gateway's."""

    async def handle() -> None:
        enter_rpc(RpcContext(request_id="from-the-caller", deadline_s=None))
        await tokenizer.encode("m", "abc", max_tokens=None, timeout_s=None)
        await tokenizer.render_chat("m", ChatPrompt(messages=()), max_tokens=1, timeout_s=None)
        await tokenizer.decode_each("m", [(1,)], skip_special_tokens=True, timeout_s=None)

    await asyncio.create_task(handle())
    assert tokenizers.rpc_ids == ["from-the-caller"] * 3


async def test_an_id_that_cannot_travel_is_left_out(tokenizer: TokenizerClient) -> None:
    async def handle() -> tuple[tuple[str, str], ...]:
        enter_rpc(RpcContext(request_id="größe", deadline_s=None))
        await tokenizer.encode("m", "abc", max_tokens=None, timeout_s=None)
        return correlation()

    assert await asyncio.create_task(handle()) == ()
    assert correlation() == ()


async def test_an_items_error_is_raised(tokenizer: TokenizerClient, tokenizers: Tokenizers) -> None:
    """Errors are per item on the wire; a call for one item has one error."""
    tokenizers.error = InvalidRequest("too long", reason="PROMPT_TOO_LONG", field="text")
    chat = ChatPrompt(messages=())
    for call in (
        tokenizer.encode("m", "abc", max_tokens=1, timeout_s=None),
        tokenizer.render_chat("m", chat, max_tokens=1, timeout_s=None),
    ):
        error = await refusal(call)
        assert isinstance(error, InvalidRequest)
        assert (error.reason, error.field) == ("PROMPT_TOO_LONG", "text")
