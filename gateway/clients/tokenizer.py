"""The tokenizer service as the gateway sees it: prompts in, ids out."""

from collections.abc import Mapping
from dataclasses import dataclass

import grpc

from gateway.clients.calls import unary
from gateway.values import ChatMessage, ChatPrompt, EncodedPrompt
from steeple.common.v1 import chat_pb2
from steeple.tokenizer.v1 import tokenizer_service_pb2, tokenizer_service_pb2_grpc
from steeple_rpc.status import from_proto

LOST = "TOKENIZER_LOST"
CALL_TIMEOUT_S = 30.0
_ROLES = {
    "system": chat_pb2.ROLE_SYSTEM,
    "user": chat_pb2.ROLE_USER,
    "assistant": chat_pb2.ROLE_ASSISTANT,
    "tool": chat_pb2.ROLE_TOOL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerFacts:
    """One model's tokenizer."""

    fingerprint: str
    vocab_size: int
    has_chat_template: bool


class TokenizerClient:
    """Calls one tokenizer service. Owns nothing but the stub."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = tokenizer_service_pb2_grpc.TokenizerServiceStub(channel)

    async def facts(self) -> Mapping[str, TokenizerFacts]:
        """Every tokenizer of the service, by served model name."""
        request = tokenizer_service_pb2.GetTokenizerInfoRequest()
        call = self._stub.GetTokenizerInfo(request, timeout=CALL_TIMEOUT_S)
        reply = await unary(call, lost=LOST)
        return {
            info.model: TokenizerFacts(
                fingerprint=info.tokenizer_fingerprint,
                vocab_size=info.vocab_size,
                has_chat_template=info.has_chat_template,
            )
            for info in reply.tokenizers
        }

    async def encode(
        self,
        model: str,
        text: str,
        *,
        max_tokens: int | None,
        timeout_s: float | None,
        add_special_tokens: bool = True,
    ) -> EncodedPrompt:
        """A text's ids.

        Args:
            model: served name.
            text: not empty.
            max_tokens: refuse more ids than this; None = the service's own limit.
            timeout_s: the caller's patience.
            add_special_tokens: with the special tokens that the model expects.
        """
        item = tokenizer_service_pb2.EncodeInput(
            text=text, max_tokens=max_tokens, add_special_tokens=add_special_tokens
        )
        request = tokenizer_service_pb2.EncodeRequest(model=model, inputs=[item])
        reply = await unary(self._stub.Encode(request, timeout=_patience(timeout_s)), lost=LOST)
        (result,) = reply.results
        if result.HasField("error"):
            raise from_proto(result.error)
        return _prompt(result.prompt)

    async def render_chat(
        self, model: str, chat: ChatPrompt, *, max_tokens: int | None, timeout_s: float | None
    ) -> EncodedPrompt:
        """A conversation's ids, ready to be answered. Arguments as in `encode`."""
        request = tokenizer_service_pb2.RenderChatRequest(
            model=model,
            messages=[_message(message) for message in chat.messages],
            template_args=chat.template_args,
            continue_final_message=chat.continue_final_message,
            max_tokens=max_tokens,
        )
        call = self._stub.RenderChat(request, timeout=_patience(timeout_s))
        return _prompt((await unary(call, lost=LOST)).prompt)

    async def decode(
        self, model: str, token_ids: tuple[int, ...], *, skip_special_tokens: bool
    ) -> str:
        """The text of a whole sequence."""
        request = tokenizer_service_pb2.DecodeRequest(
            model=model,
            inputs=[tokenizer_service_pb2.DecodeInput(ids=token_ids)],
            skip_special_tokens=skip_special_tokens,
        )
        reply = await unary(self._stub.Decode(request, timeout=CALL_TIMEOUT_S), lost=LOST)
        (result,) = reply.results
        if result.HasField("error"):
            raise from_proto(result.error)
        return result.text


def _patience(timeout_s: float | None) -> float:
    return CALL_TIMEOUT_S if timeout_s is None else min(timeout_s, CALL_TIMEOUT_S)


def _prompt(message: tokenizer_service_pb2.EncodedPrompt) -> EncodedPrompt:
    return EncodedPrompt(token_ids=tuple(message.ids), tail_start=message.tail_start)


def _message(message: ChatMessage) -> chat_pb2.ChatMessage:
    return chat_pb2.ChatMessage(
        role=_ROLES[message.role],
        parts=[chat_pb2.ContentPart(text=part) for part in message.parts],
        name=message.name,
        tool_calls=[
            chat_pb2.ToolCall(id=call.call_id, name=call.name, arguments_json=call.arguments_json)
            for call in message.tool_calls
        ],
        tool_call_id=message.tool_call_id,
        reasoning=message.reasoning,
    )
