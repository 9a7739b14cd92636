"""TokenizationService: what a model's tokenizer makes of texts. Errors are per item.

Prompts and answers come first: so many calls are taken, and one at a time asks the tokenizer
service for something, for no longer than one slice of its batch takes.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias

from gateway import convert
from gateway.backends import Backends
from gateway.places import Places
from gateway.slices import slices
from gateway.upstream_values import EncodeInput
from gateway.validation import check_chat
from gateway.values import ChatPrompt, EncodedPrompt
from steeple.common.v1 import tokens_pb2
from steeple.inference.v1 import tokenization_service_pb2, tokenization_service_pb2_grpc
from steeple_rpc import status
from steeple_rpc.context import Context, current_rpc, time_left_s
from steeple_rpc.errors import (
    DeadlineExpired,
    InvalidRequest,
    ServiceError,
    Unavailable,
    Unsupported,
)
from steeple_rpc.limits import check_count

MAX_INPUTS = 256
MAX_CALLS = 64
SLICE_SIZE = 1 << 16
"""Characters, or ids: 60 ms of one thread with the demo model's tokenizer."""

Outcome: TypeAlias = EncodedPrompt | ServiceError


class TokenizationService(tokenization_service_pb2_grpc.TokenizationServiceServicer):
    """TokenizationService of inference/v1."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends
        self._places = Places(
            MAX_CALLS, calls="calls of Tokenize and Detokenize", full="QUEUE_FULL"
        )
        self._asking = asyncio.Lock()

    async def Tokenize(
        self, request: tokenization_service_pb2.TokenizeRequest, context: Context
    ) -> tokenization_service_pb2.TokenizeResponse:
        """Texts and conversations to ids."""
        check_count("inputs", len(request.inputs), MAX_INPUTS)
        model = self._backends.catalog().resolve(request.model)
        with self._places.held(current_rpc().principal):
            outcomes = await self._outcomes(model, request.inputs)
        results = [_tokenize_result(outcome) for outcome in outcomes]
        return tokenization_service_pb2.TokenizeResponse(model=model, results=results)

    async def Detokenize(
        self, request: tokenization_service_pb2.DetokenizeRequest, context: Context
    ) -> tokenization_service_pb2.DetokenizeResponse:
        """Ids to texts."""
        check_count("inputs", len(request.inputs), MAX_INPUTS)
        model = self._backends.catalog().resolve(request.model)
        skips = request.skip_special_tokens if request.HasField("skip_special_tokens") else True
        with self._places.held(current_rpc().principal):
            outcomes = await self._decoded(model, request.inputs, skip_special_tokens=skips)
        results = [_detokenize_result(outcome) for outcome in outcomes]
        return tokenization_service_pb2.DetokenizeResponse(model=model, results=results)

    async def _outcomes(
        self, model: str, inputs: Sequence[tokenization_service_pb2.TokenizeInput]
    ) -> list[Outcome]:
        """What becomes of each input, in order: texts by the slice, each conversation by itself."""
        texts = [item for item in inputs if item.WhichOneof("input") == "text"]
        encoded = iter(await self._encoded(model, texts))
        return [
            next(encoded)
            if item.WhichOneof("input") == "text"
            else await self._rendered(model, item)
            for item in inputs
        ]

    async def _encoded(
        self, model: str, texts: Sequence[tokenization_service_pb2.TokenizeInput]
    ) -> list[Outcome]:
        inputs = [EncodeInput(text=t.text, add_special_tokens=_specials(t)) for t in texts]
        outcomes: list[Outcome] = []
        for batch in slices(inputs, lambda item: len(item.text), max_size=SLICE_SIZE):
            async with self._turn(model):
                outcomes += await self._backends.tokenizer.encode_each(
                    model, batch, timeout_s=time_left_s()
                )
        return outcomes

    async def _decoded(
        self, model: str, inputs: Sequence[tokens_pb2.TokenIds], *, skip_special_tokens: bool
    ) -> list[str | ServiceError]:
        sequences = [item.ids for item in inputs]
        outcomes: list[str | ServiceError] = []
        for batch in slices(sequences, len, max_size=SLICE_SIZE):
            async with self._turn(model):
                outcomes += await self._backends.tokenizer.decode_each(
                    model, batch, skip_special_tokens=skip_special_tokens, timeout_s=time_left_s()
                )
        return outcomes

    async def _rendered(self, model: str, item: tokenization_service_pb2.TokenizeInput) -> Outcome:
        try:
            chat = _chat(item)
        except ServiceError as error:
            return error
        async with self._turn(model):
            return await self._asked(model, chat)

    async def _asked(self, model: str, chat: ChatPrompt) -> Outcome:
        try:
            return await self._backends.tokenizer.render_chat(
                model, chat, max_tokens=None, timeout_s=time_left_s()
            )
        except (Unavailable, DeadlineExpired):
            # No fault of this item: the others would only repeat it.
            raise
        except ServiceError as error:
            return error

    @asynccontextmanager
    async def _turn(self, model: str) -> AsyncIterator[None]:
        """Nobody else of these calls is served in the block; turns go round in order of asking.

        Raises:
            Unavailable: the model has gone while others had their turn.
        """
        async with self._asking:
            self._backends.catalog().resolve(model)
            yield


def _chat(item: tokenization_service_pb2.TokenizeInput) -> ChatPrompt:
    if item.WhichOneof("input") is None:
        raise InvalidRequest("input is required", field="input")
    if item.chat.tools:
        raise Unsupported("chat.tools is not supported yet", field="chat.tools")
    chat = ChatPrompt(messages=convert.from_messages(item.chat.messages))
    check_chat(chat)
    return chat


def _tokenize_result(outcome: Outcome) -> tokenization_service_pb2.TokenizeResult:
    if isinstance(outcome, ServiceError):
        return tokenization_service_pb2.TokenizeResult(error=status.to_proto(outcome))
    tokens = tokens_pb2.TokenIds(ids=outcome.token_ids)
    return tokenization_service_pb2.TokenizeResult(tokens=tokens)


def _detokenize_result(outcome: str | ServiceError) -> tokenization_service_pb2.DetokenizeResult:
    if isinstance(outcome, ServiceError):
        return tokenization_service_pb2.DetokenizeResult(error=status.to_proto(outcome))
    return tokenization_service_pb2.DetokenizeResult(text=outcome)


def _specials(item: tokenization_service_pb2.TokenizeInput) -> bool:
    return item.add_special_tokens if item.HasField("add_special_tokens") else True
