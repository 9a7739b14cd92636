"""InferenceService: parse, check, run, answer. Thin."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import assert_never

from gateway import convert
from gateway.pipeline import Pipeline
from gateway.validation import check
from gateway.values import (
    Event,
    Finished,
    GenerationRequest,
    Started,
    TextDelta,
    Token,
    Usage,
)
from steeple.common.v1 import chat_pb2 as common_chat_pb2
from steeple.inference.v1 import (
    chat_pb2,
    generate_pb2,
    inference_service_pb2_grpc,
)
from steeple_rpc.context import Context, current_rpc, send_headers


@dataclass(slots=True)
class _Whole:
    """All events of one request, for a reply at the end."""

    started: Started | None = None
    texts: list[str] = field(default_factory=list)
    tokens: list[Token] = field(default_factory=list)
    num_tokens: int = 0
    finished: Finished | None = None
    usage: Usage | None = None

    def add(self, event: Event) -> None:
        match event:
            case Started():
                self.started = event
            case TextDelta():
                self.texts.append(event.text)
                self.tokens += event.tokens
                self.num_tokens = event.num_completion_tokens
            case Finished():
                self.finished = event
            case Usage():
                self.usage = event
            case _:
                assert_never(event)


class InferenceService(inference_service_pb2_grpc.InferenceServiceServicer):
    """InferenceService of inference/v1."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def Generate(
        self, request: generate_pb2.GenerateRequest, context: Context
    ) -> generate_pb2.GenerateResponse:
        """Continue a prompt; one reply."""
        whole = await self._whole(check(convert.from_generate(request)))
        started, finished, usage = _parts(whole)
        output = generate_pb2.GenerateOutput(
            text="".join(whole.texts),
            finish_reason=convert.finish_reason_number(finished),
            matched_stop=convert.matched_stop(finished),
            completion_tokens=whole.num_tokens,
            tokens=convert.token_messages(tuple(whole.tokens)),
        )
        return generate_pb2.GenerateResponse(
            started=convert.started_message(started),
            outputs=[output],
            usage=convert.usage_message(usage),
        )

    async def GenerateStream(
        self, request: generate_pb2.GenerateStreamRequest, context: Context
    ) -> AsyncIterator[generate_pb2.GenerateStreamResponse]:
        """Continue a prompt; a stream of events."""
        async with aclosing(self._events(check(convert.from_generate(request)))) as events:
            async for event in events:
                if isinstance(event, Started):
                    await send_headers(context)
                yield _generate_event(event)

    async def Chat(self, request: chat_pb2.ChatRequest, context: Context) -> chat_pb2.ChatResponse:
        """Answer a conversation; one reply."""
        whole = await self._whole(check(convert.from_chat(request)))
        started, finished, usage = _parts(whole)
        text = common_chat_pb2.ContentPart(text="".join(whole.texts))
        output = chat_pb2.ChatOutput(
            message=common_chat_pb2.ChatMessage(role=common_chat_pb2.ROLE_ASSISTANT, parts=[text]),
            finish_reason=convert.finish_reason_number(finished),
            matched_stop=convert.matched_stop(finished),
            completion_tokens=whole.num_tokens,
            tokens=convert.token_messages(tuple(whole.tokens)),
        )
        return chat_pb2.ChatResponse(
            started=convert.started_message(started),
            outputs=[output],
            usage=convert.usage_message(usage),
        )

    async def ChatStream(
        self, request: chat_pb2.ChatStreamRequest, context: Context
    ) -> AsyncIterator[chat_pb2.ChatStreamResponse]:
        """Answer a conversation; a stream of events."""
        async with aclosing(self._events(check(convert.from_chat(request)))) as events:
            async for event in events:
                if isinstance(event, Started):
                    await send_headers(context)
                yield _chat_event(event)

    def _events(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        rpc = current_rpc()
        return self._pipeline.run(replace(request, principal=rpc.principal), rpc.deadline_s)

    async def _whole(self, request: GenerationRequest) -> _Whole:
        whole = _Whole()
        async with aclosing(self._events(request)) as events:
            async for event in events:
                whole.add(event)
        return whole


def _parts(whole: _Whole) -> tuple[Started, Finished, Usage]:
    """The parts that every reply has: the pipeline tells them all, or raises."""
    assert whole.started is not None  # noqa: S101 - see above
    assert whole.finished is not None  # noqa: S101 - likewise
    assert whole.usage is not None  # noqa: S101 - likewise
    return whole.started, whole.finished, whole.usage


def _generate_event(event: Event) -> generate_pb2.GenerateStreamResponse:
    response = generate_pb2.GenerateStreamResponse
    match event:
        case Started():
            return response(started=convert.started_message(event))
        case TextDelta():
            return response(delta=convert.delta_message(event))
        case Finished():
            return response(finished=convert.finished_message(event))
        case Usage():
            return response(usage=convert.usage_message(event))
        case _:
            assert_never(event)


def _chat_event(event: Event) -> chat_pb2.ChatStreamResponse:
    response = chat_pb2.ChatStreamResponse
    match event:
        case Started():
            return response(started=convert.started_message(event))
        case TextDelta():
            delta = chat_pb2.ChatDelta(
                text=event.text,
                completion_tokens=event.num_completion_tokens,
                tokens=convert.token_messages(event.tokens),
            )
            return response(delta=delta)
        case Finished():
            return response(finished=convert.finished_message(event))
        case Usage():
            return response(usage=convert.usage_message(event))
        case _:
            assert_never(event)
