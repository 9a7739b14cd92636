"""The servicer: each RPC in one place, messages in, messages out."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from steeple.tokenizer.v1 import (
    detokenize_pb2,
    tokenizer_service_pb2,
    tokenizer_service_pb2_grpc,
)
from steeple_rpc.context import TAKEN_UP, Context
from steeple_rpc.errors import NotFound, ServiceError
from steeple_rpc.limits import check_count
from tokenizer_svc import conversion
from tokenizer_svc.chat.conversation import Chat
from tokenizer_svc.detokenize.detokenizer import Detokenizer
from tokenizer_svc.detokenize.sessions import SessionTable
from tokenizer_svc.detokenize.stream import DetokenizeStream
from tokenizer_svc.tokenizer import EncodedPrompt, LoadedTokenizer, TextBounds
from tokenizer_svc.work_watch import Work, WorkWatch

T = TypeVar("T")

MAX_INPUTS = 256
_MAX_SWEEP_PAUSE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionBounds:
    """What the sessions of one stream may hold."""

    ttl_s: float
    max_sessions: int


class TokenizerService(tokenizer_service_pb2_grpc.TokenizerServiceServicer):
    """Serves the tokenizers of many models.

    Args:
        tokenizers: by served name.
        executor: does what takes CPU time.
        bounds: of one prompt.
        session_bounds: of one stream.
        clock: monotonic seconds.
        watch: told of the work that takes CPU time.
    """

    def __init__(
        self,
        tokenizers: Mapping[str, LoadedTokenizer],
        executor: Executor,
        bounds: TextBounds,
        session_bounds: SessionBounds,
        clock: Callable[[], float],
        watch: WorkWatch | None = None,
    ) -> None:
        self._tokenizers = tokenizers
        self._executor = executor
        self._bounds = bounds
        self._session_bounds = session_bounds
        self._clock = clock
        self._watch = watch or WorkWatch()
        self._streams: set[DetokenizeStream] = set()
        self._is_draining = asyncio.Event()

    async def Encode(
        self, request: tokenizer_service_pb2.EncodeRequest, context: Context
    ) -> tokenizer_service_pb2.EncodeResponse:
        """Encode each input, or tell why not."""
        tokenizer = self._tokenizer(request.model)
        check_count("inputs", len(request.inputs), MAX_INPUTS)
        jobs = [partial(_encode, tokenizer, item, self._bounds) for item in request.inputs]
        outcomes = await self._each(Work.ENCODE, request.model, jobs)
        for outcome in outcomes:
            if isinstance(outcome, EncodedPrompt):
                self._watch.encoded(request.model, len(outcome.ids))
        results = [conversion.encode_result(outcome) for outcome in outcomes]
        return tokenizer_service_pb2.EncodeResponse(results=results)

    async def RenderChat(
        self, request: tokenizer_service_pb2.RenderChatRequest, context: Context
    ) -> tokenizer_service_pb2.RenderChatResponse:
        """Render and encode one conversation."""
        tokenizer = self._tokenizer(request.model)
        bounds = self._bounds.lowered_to(_limit(request))
        job = partial(_encode_chat, tokenizer, request, bounds)
        prompt = await self._run(Work.RENDER, request.model, job)
        self._watch.encoded(request.model, len(prompt.ids))
        return tokenizer_service_pb2.RenderChatResponse(prompt=conversion.prompt_message(prompt))

    async def Decode(
        self, request: tokenizer_service_pb2.DecodeRequest, context: Context
    ) -> tokenizer_service_pb2.DecodeResponse:
        """Decode each input, or tell why not."""
        tokenizer = self._tokenizer(request.model)
        check_count("inputs", len(request.inputs), MAX_INPUTS)
        skip = not request.HasField("skip_special_tokens") or request.skip_special_tokens
        jobs = [
            partial(tokenizer.decode, list(item.ids), skip_special_tokens=skip)
            for item in request.inputs
        ]
        outcomes = await self._each(Work.DECODE, request.model, jobs)
        results = [conversion.decode_result(outcome) for outcome in outcomes]
        return tokenizer_service_pb2.DecodeResponse(results=results)

    async def GetTokenizerInfo(
        self, request: tokenizer_service_pb2.GetTokenizerInfoRequest, context: Context
    ) -> tokenizer_service_pb2.GetTokenizerInfoResponse:
        """Tell about one tokenizer, or all."""
        asked = (
            [self._tokenizer(request.model)]
            if request.HasField("model")
            else self._tokenizers.values()
        )
        return tokenizer_service_pb2.GetTokenizerInfoResponse(
            tokenizers=[conversion.info_message(tokenizer.info) for tokenizer in asked]
        )

    async def Detokenize(
        self,
        request_iterator: AsyncIterator[detokenize_pb2.DetokenizeRequest],
        context: Context,
    ) -> AsyncIterator[detokenize_pb2.DetokenizeResponse]:
        """Decode the growing outputs of one gateway until it leaves, or until drained."""
        # Tells the gateway that somebody is there, before there is anything to decode.
        await context.send_initial_metadata(TAKEN_UP)
        stream = self._new_stream()
        self._streams.add(stream)
        reading = asyncio.create_task(_read(request_iterator, stream))
        try:
            if self._is_draining.is_set():
                await stream.drain()
            async for notices in stream.outbox.batches():
                yield conversion.detokenize_response(notices)
            if reading.done():
                reading.result()
        finally:
            self._streams.discard(stream)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    @property
    def num_streams(self) -> int:
        """Detokenize streams that are open."""
        return len(self._streams)

    @property
    def num_sessions(self) -> int:
        """Sessions that are open on all streams; any thread may ask."""
        return sum(stream.num_sessions for stream in tuple(self._streams))

    def drain(self) -> None:
        """Take no new sessions, and end each stream when its last session has ended."""
        self._is_draining.set()

    async def run(self) -> None:
        """Look after the streams until cancelled: expire sessions; once draining, tell so."""
        pause_s = min(self._session_bounds.ttl_s / 4, _MAX_SWEEP_PAUSE_S)
        draining = asyncio.create_task(self._drain_streams())
        try:
            while True:
                await asyncio.sleep(pause_s)
                await self.expire_sessions()
        finally:
            draining.cancel()
            await asyncio.gather(draining, return_exceptions=True)

    async def expire_sessions(self) -> None:
        """End the sessions that nobody has pushed to for their time to live."""
        for stream in tuple(self._streams):
            await stream.expire()

    async def _drain_streams(self) -> None:
        await self._is_draining.wait()
        for stream in tuple(self._streams):
            await stream.drain()

    def _new_stream(self) -> DetokenizeStream:
        table = SessionTable(
            self._detokenizer,
            ttl_s=self._session_bounds.ttl_s,
            max_sessions=self._session_bounds.max_sessions,
        )
        return DetokenizeStream(table, self._executor, self._clock)

    def _tokenizer(self, model: str) -> LoadedTokenizer:
        tokenizer = self._tokenizers.get(model)
        if tokenizer is None:
            raise NotFound("no such model is served here", reason="MODEL_NOT_FOUND", field="model")
        return tokenizer

    def _detokenizer(self, model: str) -> Detokenizer:
        return self._tokenizer(model).detokenizer

    async def _run(self, work: Work, model: str, job: Callable[[], T]) -> T:
        start = self._clock()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, job)
        finally:
            self._watch.worked(work, model, self._clock() - start)

    async def _each(
        self, work: Work, model: str, jobs: Iterable[Callable[[], T]]
    ) -> list[T | ServiceError]:
        """The jobs' results in order; an error of ours is a result like any other."""
        each = (self._run(work, model, partial(_outcome, job)) for job in jobs)
        return await asyncio.gather(*each)


async def _read(
    requests: AsyncIterator[detokenize_pb2.DetokenizeRequest], stream: DetokenizeStream
) -> None:
    """Work off what the gateway sends; when it has sent all, so shall we have."""
    try:
        async for request in requests:
            await stream.take(conversion.commands_of(request))
    finally:
        stream.outbox.close()


def _encode(
    tokenizer: LoadedTokenizer, item: tokenizer_service_pb2.EncodeInput, bounds: TextBounds
) -> EncodedPrompt:
    add = not item.HasField("add_special_tokens") or item.add_special_tokens
    return tokenizer.encode(item.text, bounds.lowered_to(_limit(item)), add_special_tokens=add)


def _encode_chat(
    tokenizer: LoadedTokenizer,
    request: tokenizer_service_pb2.RenderChatRequest,
    bounds: TextBounds,
) -> EncodedPrompt:
    chat: Chat = conversion.chat_of(request)
    return tokenizer.encode_chat(chat, bounds)


def _outcome(job: Callable[[], T]) -> T | ServiceError:
    try:
        return job()
    except ServiceError as error:
        return error


def _limit(message: Any) -> int | None:
    """The `max_tokens` of a message that has one."""
    return message.max_tokens if message.HasField("max_tokens") else None
