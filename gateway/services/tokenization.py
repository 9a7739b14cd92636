"""TokenizationService: what a model's tokenizer makes of texts. Errors are per item."""

from collections.abc import Sequence
from typing import TypeAlias

from gateway import convert
from gateway.backends import Backends
from gateway.upstream_values import EncodeInput
from gateway.validation import check_chat
from gateway.values import ChatPrompt, EncodedPrompt
from steeple.common.v1 import tokens_pb2
from steeple.inference.v1 import tokenization_service_pb2, tokenization_service_pb2_grpc
from steeple_rpc import status
from steeple_rpc.context import Context, time_left_s
from steeple_rpc.errors import (
    DeadlineExpired,
    InvalidRequest,
    ServiceError,
    Unavailable,
    Unsupported,
)
from steeple_rpc.limits import check_count

MAX_INPUTS = 256

Outcome: TypeAlias = EncodedPrompt | ServiceError


class TokenizationService(tokenization_service_pb2_grpc.TokenizationServiceServicer):
    """TokenizationService of inference/v1."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends

    async def Tokenize(
        self, request: tokenization_service_pb2.TokenizeRequest, context: Context
    ) -> tokenization_service_pb2.TokenizeResponse:
        """Texts and conversations to ids."""
        check_count("inputs", len(request.inputs), MAX_INPUTS)
        model = self._backends.catalog().resolve(request.model)
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
        outcomes = await self._backends.tokenizer.decode_each(
            model,
            [item.ids for item in request.inputs],
            skip_special_tokens=skips,
            timeout_s=time_left_s(),
        )
        results = [_detokenize_result(outcome) for outcome in outcomes]
        return tokenization_service_pb2.DetokenizeResponse(model=model, results=results)

    async def _outcomes(
        self, model: str, inputs: Sequence[tokenization_service_pb2.TokenizeInput]
    ) -> list[Outcome]:
        """What becomes of each input, in order: all texts by one call, each conversation by one."""
        texts = [item for item in inputs if item.WhichOneof("input") == "text"]
        encoded = iter(await self._encoded(model, texts) if texts else ())
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
        return await self._backends.tokenizer.encode_each(model, inputs, timeout_s=time_left_s())

    async def _rendered(self, model: str, item: tokenization_service_pb2.TokenizeInput) -> Outcome:
        try:
            return await self._backends.tokenizer.render_chat(
                model, _chat(item), max_tokens=None, timeout_s=time_left_s()
            )
        except (Unavailable, DeadlineExpired):
            # No fault of this item: the others would only repeat it.
            raise
        except ServiceError as error:
            return error


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
