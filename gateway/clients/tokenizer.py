"""The tokenizer service as the gateway sees it: prompts in, ids out."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from google.protobuf.message import Message

from gateway.clients.calls import unary, upstream_call
from gateway.upstream_values import EncodeInput, TokenizerFacts
from gateway.values import ChatMessage, ChatPrompt, EncodedPrompt
from steeple.common.v1 import chat_pb2
from steeple.tokenizer.v1 import tokenizer_service_pb2, tokenizer_service_pb2_grpc
from steeple_rpc.errors import ServiceError, Unavailable
from steeple_rpc.status import from_proto

LOST = "TOKENIZER_LOST"
_SERVICE = "/steeple.tokenizer.v1.TokenizerService/"
CALL_TIMEOUT_S = 30.0
MAX_ASKS = 3
_ROLES = {
    "system": chat_pb2.ROLE_SYSTEM,
    "user": chat_pb2.ROLE_USER,
    "assistant": chat_pb2.ROLE_ASSISTANT,
    "tool": chat_pb2.ROLE_TOOL,
}


class TokenizerClient:
    """Calls one tokenizer service. Owns nothing but the stub.

    Args:
        channel: to it.
        timeout_s: a service that answers no call in so long counts as lost.
        patience_s: so long a lost service is waited for.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        timeout_s: float = CALL_TIMEOUT_S,
        patience_s: float = 0.0,
    ) -> None:
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._stub = tokenizer_service_pb2_grpc.TokenizerServiceStub(channel)

    async def facts(self) -> Mapping[str, TokenizerFacts]:
        """Every tokenizer of the service, by served model name."""
        request = tokenizer_service_pb2.GetTokenizerInfoRequest()
        call = self._stub.GetTokenizerInfo(request, timeout=self._timeout_s)
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
        self, model: str, text: str, *, max_tokens: int | None, timeout_s: float | None
    ) -> EncodedPrompt:
        """A text's ids.

        Args:
            model: served name.
            text: not empty.
            max_tokens: refuse more ids than this; None = the service's own limit.
            timeout_s: the caller's patience; None = endless.

        Raises:
            ServiceError: the text was refused, or the service is gone.
        """
        item = EncodeInput(text=text, max_tokens=max_tokens)
        (outcome,) = await self.encode_each(model, [item], timeout_s=timeout_s)
        if isinstance(outcome, ServiceError):
            raise outcome
        return outcome

    async def encode_each(
        self, model: str, inputs: Sequence[EncodeInput], *, timeout_s: float | None
    ) -> list[EncodedPrompt | ServiceError]:
        """What becomes of each text, in order, by one call.

        Raises:
            ServiceError: all of them were refused, or the service is gone.
        """
        request = tokenizer_service_pb2.EncodeRequest(
            model=model,
            inputs=[
                tokenizer_service_pb2.EncodeInput(
                    text=item.text,
                    max_tokens=item.max_tokens,
                    add_special_tokens=item.add_special_tokens,
                )
                for item in inputs
            ],
        )
        reply = await self._call("Encode", request, timeout_s)
        return [
            from_proto(result.error) if result.HasField("error") else _prompt(result.prompt)
            for result in reply.results
        ]

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
        return _prompt((await self._call("RenderChat", request, timeout_s)).prompt)

    async def decode_each(
        self,
        model: str,
        sequences: Sequence[Sequence[int]],
        *,
        skip_special_tokens: bool,
        timeout_s: float | None,
    ) -> list[str | ServiceError]:
        """What becomes of each whole sequence, in order, by one call.

        Raises:
            ServiceError: all of them were refused, or the service is gone.
        """
        request = tokenizer_service_pb2.DecodeRequest(
            model=model,
            inputs=[tokenizer_service_pb2.DecodeInput(ids=ids) for ids in sequences],
            skip_special_tokens=skip_special_tokens,
        )
        reply = await self._call("Decode", request, timeout_s)
        return [
            from_proto(result.error) if result.HasField("error") else result.text
            for result in reply.results
        ]

    # The reply's type is the method's; grpc's multi-callables are generic in their stubs only.
    async def _call(self, name: str, request: Message, timeout_s: float | None) -> Any:
        """A reply for a caller who waits for `timeout_s`, and no longer than we would ourselves.

        A service that is lost is asked again when it is there again: nothing but the reply comes of
        these calls. A call may fail on what is left of a connection and never have been heard, so
        it is asked `MAX_ASKS` times; no oftener: it may be what the service dies of.
        """
        clock = asyncio.get_running_loop().time
        start = clock()
        left_s = self._timeout_s
        number = 0
        while True:
            number += 1
            asked = clock()
            callers_s = None if timeout_s is None else max(0.0, timeout_s - (asked - start))
            try:
                return await self._ask(name, request, callers_s, left_s, wait_for_ready=number > 1)
            except Unavailable as error:
                left_s -= clock() - asked
                is_end = number == MAX_ASKS or left_s <= 0 or self._patience_s == 0
                if error.reason != LOST or is_end:
                    raise
            if number == 1:
                left_s = self._patience_s

    async def _ask(
        self,
        name: str,
        request: Message,
        timeout_s: float | None,
        limit_s: float,
        **options: bool,
    ) -> Any:
        is_callers = timeout_s is not None and timeout_s <= limit_s
        with upstream_call(_SERVICE + name) as metadata:
            call = getattr(self._stub, name)(
                request,
                timeout=timeout_s if is_callers else limit_s,
                metadata=metadata,
                **options,
            )
            return await unary(call, lost=LOST, is_callers_deadline=is_callers)


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
