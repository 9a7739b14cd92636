"""The RPCs as values, the same for both clients: where, with what, how replies are read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from steeple.inference.v1 import (
    chat_pb2,
    generate_pb2,
    inference_service_pb2_grpc,
    load_service_pb2,
    load_service_pb2_grpc,
    model_service_pb2,
    model_service_pb2_grpc,
    tokenization_service_pb2_grpc,
)
from steeple_client import convert, requests
from steeple_client.convert_load import to_load
from steeple_client.load import Load
from steeple_client.options import ChatOptions, GenerateOptions
from steeple_client.requests import Conversation, Prompt
from steeple_client.retries import Repeatable
from steeple_client.values import Event, Generation, Model

READ_TIMEOUT_S = 10.0
"""For what computes nothing, so that a server that hangs is noticed."""
WATCH_TIMEOUT_S = 365 * 86400.0
"""For what has no end; a client's own limit is about generations."""
Reply_co = TypeVar("Reply_co", covariant=True)


class Stubs:
    """All public services over one channel of either kind."""

    def __init__(self, channel: grpc.Channel | grpc.aio.Channel) -> None:
        self.inference: Any = inference_service_pb2_grpc.InferenceServiceStub(channel)
        self.models: Any = model_service_pb2_grpc.ModelServiceStub(channel)
        self.tokenization: Any = tokenization_service_pb2_grpc.TokenizationServiceStub(channel)
        self.load: Any = load_service_pb2_grpc.LoadServiceStub(channel)
        self.health: Any = health_pb2_grpc.HealthStub(channel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[Reply_co]):
    """One RPC to make."""

    # The generated stubs' methods and messages have no common base.
    method: Callable[[Stubs], Any]
    request: Any
    read: Callable[[Any], Reply_co]
    """From a reply of the wire, or one message of the stream."""
    repeatable: Repeatable
    timeout_s: float | None
    """For all attempts together; None = the client's own."""


def generate(prompt: Prompt, options: GenerateOptions) -> Call[Generation]:
    """Continue a text or token ids; one reply."""
    return Call(
        method=lambda stubs: stubs.inference.Generate,
        request=requests.generate_request(generate_pb2.GenerateRequest, prompt, options),
        read=convert.from_generate,
        repeatable=Repeatable.UNTIL_SENT,
        timeout_s=options.get("timeout_s"),
    )


def generate_stream(prompt: Prompt, options: GenerateOptions) -> Call[Event | None]:
    """Continue a text or token ids; events."""
    return Call(
        method=lambda stubs: stubs.inference.GenerateStream,
        request=requests.generate_request(generate_pb2.GenerateStreamRequest, prompt, options),
        read=convert.to_event,
        repeatable=Repeatable.UNTIL_AN_EVENT,
        timeout_s=options.get("timeout_s"),
    )


def chat(messages: Conversation, options: ChatOptions) -> Call[Generation]:
    """Answer a conversation; one reply."""
    return Call(
        method=lambda stubs: stubs.inference.Chat,
        request=requests.chat_request(chat_pb2.ChatRequest, messages, options),
        read=convert.from_chat,
        repeatable=Repeatable.UNTIL_SENT,
        timeout_s=options.get("timeout_s"),
    )


def chat_stream(messages: Conversation, options: ChatOptions) -> Call[Event | None]:
    """Answer a conversation; events."""
    return Call(
        method=lambda stubs: stubs.inference.ChatStream,
        request=requests.chat_request(chat_pb2.ChatStreamRequest, messages, options),
        read=convert.to_event,
        repeatable=Repeatable.UNTIL_AN_EVENT,
        timeout_s=options.get("timeout_s"),
    )


def models_page(page_token: str) -> Call[tuple[list[Model], str]]:
    """A page of the models, and the token of the next one; empty after the last."""
    return Call(
        method=lambda stubs: stubs.models.ListModels,
        request=model_service_pb2.ListModelsRequest(page_token=page_token),
        read=lambda page: ([convert.to_model(each) for each in page.models], page.next_page_token),
        repeatable=Repeatable.ALWAYS,
        timeout_s=READ_TIMEOUT_S,
    )


def model(name: str) -> Call[Model]:
    """One model; by the empty name the only one."""
    return Call(
        method=lambda stubs: stubs.models.GetModel,
        request=model_service_pb2.GetModelRequest(name=name),
        read=lambda reply: convert.to_model(reply.model),
        repeatable=Repeatable.ALWAYS,
        timeout_s=READ_TIMEOUT_S,
    )


def tokenize(text: Conversation, model: str, *, add_special_tokens: bool) -> Call[list[int]]:
    """The ids of a text, or of a conversation ready to be answered."""
    return Call(
        method=lambda stubs: stubs.tokenization.Tokenize,
        request=requests.tokenize_request(text, model, add_special_tokens=add_special_tokens),
        read=convert.from_tokenize,
        repeatable=Repeatable.ALWAYS,
        timeout_s=READ_TIMEOUT_S,
    )


def detokenize(token_ids: Sequence[int], model: str, *, skip_special_tokens: bool) -> Call[str]:
    """The text of ids."""
    return Call(
        method=lambda stubs: stubs.tokenization.Detokenize,
        request=requests.detokenize_request(
            token_ids, model, skip_special_tokens=skip_special_tokens
        ),
        read=convert.from_detokenize,
        repeatable=Repeatable.ALWAYS,
        timeout_s=READ_TIMEOUT_S,
    )


def load() -> Call[Load]:
    """How busy everything is."""
    return Call(
        method=lambda stubs: stubs.load.GetLoad,
        request=load_service_pb2.GetLoadRequest(),
        read=lambda reply: to_load(reply.load),
        repeatable=Repeatable.ALWAYS,
        timeout_s=READ_TIMEOUT_S,
    )


def watch_load(interval_s: float) -> Call[Load]:
    """The same, at an interval, without an end."""
    return Call(
        method=lambda stubs: stubs.load.WatchLoad,
        request=requests.watch_load_request(interval_s),
        read=lambda reply: to_load(reply.load),
        repeatable=Repeatable.NEVER,
        timeout_s=WATCH_TIMEOUT_S,
    )


def health() -> Call[bool]:
    """Whether the gateway says that it serves."""
    return Call(
        method=lambda stubs: stubs.health.Check,
        request=health_pb2.HealthCheckRequest(),
        read=_is_serving,
        repeatable=Repeatable.NEVER,
        timeout_s=READ_TIMEOUT_S,
    )


def health_watch(timeout_s: float) -> Call[bool]:
    """The same, again whenever it changes."""
    return Call(
        method=lambda stubs: stubs.health.Watch,
        request=health_pb2.HealthCheckRequest(),
        read=_is_serving,
        repeatable=Repeatable.NEVER,
        timeout_s=timeout_s,
    )


def _is_serving(response: health_pb2.HealthCheckResponse) -> bool:
    return bool(response.status == health_pb2.HealthCheckResponse.SERVING)
