"""Bad input gets the right status, a stable reason, the field and the limit; it harms nobody."""

import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from steeple.common.v1 import tokens_pb2
from steeple.inference.v1 import (
    chat_pb2,
    embedding_service_pb2,
    embedding_service_pb2_grpc,
    generate_pb2,
    inference_service_pb2_grpc,
)
from steeple_client import Client
from steeple_rpc.errors import ServiceError
from steeple_rpc.status import code_of, from_call

GENERATE = "/steeple.inference.v1.InferenceService/Generate"
STREAM = "/steeple.inference.v1.InferenceService/GenerateStream"
Request = generate_pb2.GenerateRequest
TokenIds = tokens_pb2.TokenIds


def refused(call: Callable[[], object]) -> ServiceError:
    """The error that a call ends with."""
    with pytest.raises(grpc.RpcError) as refusal:
        call()
    return from_call(refusal.value)


def send_raw(channel: grpc.Channel, junk: bytes) -> object:
    """Call Generate with bytes that are no message."""
    call: Any = channel.unary_unary(GENERATE)  # typed for messages; these are none
    return call(junk, timeout=10)


def send_raw_stream(channel: grpc.Channel, junk: bytes) -> object:
    """Call GenerateStream with bytes that are no message."""
    call: Any = channel.unary_stream(STREAM)  # typed for messages; these are none
    return list(call(junk, timeout=10))


def request(**fields: object) -> Request:
    """A prompt request; by default a good one."""
    return Request(**{"text": "hello", **fields})  # type: ignore[arg-type] # by name


BAD = [
    (request(text=""), "INVALID_ARGUMENT", "EMPTY_PROMPT", "text", ""),
    (Request(), "INVALID_ARGUMENT", "EMPTY_PROMPT", "prompt", ""),
    (Request(token_ids=TokenIds(ids=[])), "INVALID_ARGUMENT", "EMPTY_PROMPT", "token_ids", ""),
    (request(text="7 " * 1200), "INVALID_ARGUMENT", "PROMPT_TOO_LONG", "", "1024"),
    (
        Request(token_ids=TokenIds(ids=[5] * 1024)),
        "INVALID_ARGUMENT",
        "PROMPT_TOO_LONG",
        "prompt",
        "1024",
    ),
    (
        Request(token_ids=TokenIds(ids=[1, 2, 999_999])),
        "INVALID_ARGUMENT",
        "TOKEN_OUT_OF_RANGE",
        "token_ids.ids[2]",
        "999999",
    ),
    (
        request(stopping={"max_tokens": 0}),
        "INVALID_ARGUMENT",
        "OUT_OF_RANGE",
        "stopping.max_tokens",
        "1 to",
    ),
    (
        request(stopping={"max_tokens": 2**31 - 1}),
        "INVALID_ARGUMENT",
        "CONTEXT_EXCEEDED",
        "stopping.max_tokens",
        "2147483647",
    ),
    (request(model="nobody"), "NOT_FOUND", "MODEL_NOT_FOUND", "model", ""),
    (
        request(sampling={"temperature": float("nan")}),
        "INVALID_ARGUMENT",
        "OUT_OF_RANGE",
        "sampling.temperature",
        "0 to 100",
    ),
    (request(output={"n": 2}), "UNIMPLEMENTED", "NOT_IMPLEMENTED", "output.n", ""),
    (request(guided={"regex": "a+"}), "UNIMPLEMENTED", "NOT_IMPLEMENTED", "guided", ""),
    (request(request_id="a b"), "INVALID_ARGUMENT", "BAD_REQUEST_ID", "request_id", "128"),
    (
        request(stopping={"stop": ["x"] * 9}),
        "INVALID_ARGUMENT",
        "TOO_MANY",
        "stopping.stop",
        "at most 8",
    ),
    (
        request(stopping={"stop_token_ids": [70_000]}),
        "INVALID_ARGUMENT",
        "TOKEN_OUT_OF_RANGE",
        "stopping.stop_token_ids[0]",
        "70000",
    ),
]


@pytest.mark.parametrize(("bad", "code", "reason", "field", "told"), BAD)
def test_bad_requests_are_refused_by_name(
    channel: grpc.Channel, bad: Request, code: str, reason: str, field: str, told: str
) -> None:
    """The same by both RPCs."""
    stub = inference_service_pb2_grpc.InferenceServiceStub(channel)
    streamed = generate_pb2.GenerateStreamRequest.FromString(bad.SerializeToString())
    for error in (
        refused(lambda: stub.Generate(bad, timeout=10)),
        refused(lambda: list(stub.GenerateStream(streamed, timeout=10))),
    ):
        assert (code_of(error).name, error.reason) == (code, reason)
        assert error.field == field or not field
        assert told in error.message


def test_bad_chats_are_refused_by_name(channel: grpc.Channel) -> None:
    """No messages, no role, an image."""
    stub = inference_service_pb2_grpc.InferenceServiceStub(channel)
    image = {"role": 2, "parts": [{"image": b"png"}]}
    for messages, field in (
        ([], "messages"),
        ([{"parts": [{"text": "hi"}]}], "messages[0].role"),
        ([image], "messages[0].parts[0].image"),
    ):
        chat = chat_pb2.ChatRequest(messages=messages)  # type: ignore[arg-type] # by name
        assert refused(lambda: stub.Chat(chat, timeout=10)).field == field  # noqa: B023


def test_services_that_are_not_built_say_so(channel: grpc.Channel) -> None:
    """UNIMPLEMENTED, typed."""
    stub = embedding_service_pb2_grpc.EmbeddingServiceStub(channel)
    error = refused(lambda: stub.Embed(embedding_service_pb2.EmbedRequest(), timeout=10))
    assert code_of(error) is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("junk", [b"\xff" * 40, b"\x0a\x05\xff\xfe\xfd\xfc\xfb", b"\x1a\xff"])
def test_undecodable_bytes_tell_nothing_of_us(channel: grpc.Channel, junk: bytes) -> None:
    """INVALID_ARGUMENT, without a class, a message type or a parser's words."""
    for error in (
        refused(lambda: send_raw(channel, junk)),
        refused(lambda: send_raw_stream(channel, junk)),
    ):
        assert code_of(error) is grpc.StatusCode.INVALID_ARGUMENT
        assert error.message == "malformed request message"


def test_a_message_over_the_limit_is_refused_before_it_is_read(channel: grpc.Channel) -> None:
    """RESOURCE_EXHAUSTED."""
    stub = inference_service_pb2_grpc.InferenceServiceStub(channel)
    huge: Message = request(text="x" * (5 << 20))
    error = refused(lambda: stub.Generate(huge, timeout=10))  # type: ignore[arg-type] # a request
    assert code_of(error) is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_neighbours_of_bad_requests_get_their_tokens(client: Client, channel: grpc.Channel) -> None:
    """The same text with and without a storm of refusals beside it."""
    quiet = client.generate("steady as she goes", max_tokens=80).text
    stub = inference_service_pb2_grpc.InferenceServiceStub(channel)
    stop = threading.Event()

    def storm() -> None:
        while not stop.is_set():
            for bad, *_ in BAD:
                refused(lambda: stub.Generate(bad, timeout=10))  # noqa: B023
            refused(lambda: send_raw(channel, b"\xff" * 9))

    storming = threading.Thread(target=storm)
    storming.start()
    try:
        assert client.generate("steady as she goes", max_tokens=80).text == quiet
    finally:
        stop.set()
        storming.join()
