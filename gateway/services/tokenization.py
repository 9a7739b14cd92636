"""TokenizationService: what a model's tokenizer makes of texts. Errors are per item."""

from gateway import convert
from gateway.backends import Backends
from gateway.validation import check_chat
from gateway.values import ChatPrompt
from steeple.common.v1 import tokens_pb2
from steeple.inference.v1 import tokenization_service_pb2, tokenization_service_pb2_grpc
from steeple_rpc import status
from steeple_rpc.context import Context
from steeple_rpc.errors import InvalidRequest, ServiceError, Unsupported
from steeple_rpc.limits import check_count

MAX_INPUTS = 256


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
        results = [await self._tokenize(model, item) for item in request.inputs]
        return tokenization_service_pb2.TokenizeResponse(model=model, results=results)

    async def Detokenize(
        self, request: tokenization_service_pb2.DetokenizeRequest, context: Context
    ) -> tokenization_service_pb2.DetokenizeResponse:
        """Ids to texts."""
        check_count("inputs", len(request.inputs), MAX_INPUTS)
        model = self._backends.catalog().resolve(request.model)
        skips = request.skip_special_tokens if request.HasField("skip_special_tokens") else True
        results = [
            await self._detokenize(model, tuple(item.ids), skip_special_tokens=skips)
            for item in request.inputs
        ]
        return tokenization_service_pb2.DetokenizeResponse(model=model, results=results)

    async def _tokenize(
        self, model: str, item: tokenization_service_pb2.TokenizeInput
    ) -> tokenization_service_pb2.TokenizeResult:
        try:
            ids = await self._ids(model, item)
        except ServiceError as error:
            return tokenization_service_pb2.TokenizeResult(error=status.to_proto(error))
        return tokenization_service_pb2.TokenizeResult(tokens=tokens_pb2.TokenIds(ids=ids))

    async def _ids(
        self, model: str, item: tokenization_service_pb2.TokenizeInput
    ) -> tuple[int, ...]:
        tokenizer = self._backends.tokenizer
        match item.WhichOneof("input"):
            case "text":
                prompt = await tokenizer.encode(
                    model,
                    item.text,
                    max_tokens=None,
                    timeout_s=None,
                    add_special_tokens=_specials(item),
                )
            case "chat":
                if item.chat.tools:
                    raise Unsupported("chat.tools is not supported yet", field="chat.tools")
                chat = ChatPrompt(messages=convert.from_messages(item.chat.messages))
                check_chat(chat)
                prompt = await tokenizer.render_chat(model, chat, max_tokens=None, timeout_s=None)
            case _:
                raise InvalidRequest("input is required", field="input")
        return prompt.token_ids

    async def _detokenize(
        self, model: str, ids: tuple[int, ...], *, skip_special_tokens: bool
    ) -> tokenization_service_pb2.DetokenizeResult:
        try:
            text = await self._backends.tokenizer.decode(
                model, ids, skip_special_tokens=skip_special_tokens
            )
        except ServiceError as error:
            return tokenization_service_pb2.DetokenizeResult(error=status.to_proto(error))
        return tokenization_service_pb2.DetokenizeResult(text=text)


def _specials(item: tokenization_service_pb2.TokenizeInput) -> bool:
    return item.add_special_tokens if item.HasField("add_special_tokens") else True
