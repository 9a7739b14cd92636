"""What a caller of our servers meets when something is wrong: grpcio's facts and our border."""

import re
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, TypeAlias

import grpc
import pytest

from steeple.inference.v1 import generate_pb2, inference_service_pb2_grpc
from steeple_rpc.channel import open_channel
from steeple_rpc.errors import (
    EngineFault,
    InvalidRequest,
    Overloaded,
    ServiceError,
)
from steeple_rpc.server import MAX_METADATA_BYTES
from steeple_rpc.status import from_call
from tests.support.scripted import ScriptedInference
from tests.support.servers import Serving, drained, failure, serving

MAX_MESSAGE_BYTES = 64 << 10
CANARY = "the prompt at /srv/models"
METHOD = "/steeple.inference.v1.InferenceService/"
PYTHON_WORDS = re.compile(r"\w(Error|Exception)|Traceback|google|protobuf|\.py\b|steeple[._]")
# A field of wire type 7, a length beyond the end, a text that is not UTF-8.
UNDECODABLE = [b"\xff\xff\xff", b"\x1a\x7f", b"\x1a\x01\xff"]

# It exists in the stubs only.
Stub: TypeAlias = "inference_service_pb2_grpc.InferenceServiceAsyncStub"


@pytest.fixture
def script() -> ScriptedInference:
    return ScriptedInference()


@pytest.fixture
async def served(script: ScriptedInference) -> AsyncIterator[Serving]:
    async with serving(script.add_to, max_message_bytes=MAX_MESSAGE_BYTES) as served:
        yield served


@pytest.fixture
async def channel(served: Serving) -> AsyncIterator[grpc.aio.Channel]:
    async with open_channel(served.address) as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Stub:
    return inference_service_pb2_grpc.InferenceServiceStub(channel)


def raising(error: Exception, *, after: int = 0) -> ScriptedInference:
    """Every RPC fails with `error`; streams after so many messages."""

    async def generate(request: generate_pb2.GenerateRequest) -> generate_pb2.GenerateResponse:
        raise error

    async def stream(
        request: generate_pb2.GenerateStreamRequest,
    ) -> AsyncGenerator[generate_pb2.GenerateStreamResponse, None]:
        for _ in range(after):
            yield generate_pb2.GenerateStreamResponse()
        raise error

    return ScriptedInference(generate=generate, generate_stream=stream)


def play(script: ScriptedInference, other: ScriptedInference) -> None:
    script.generate = other.generate
    script.generate_stream = other.generate_stream


@pytest.mark.parametrize("data", UNDECODABLE, ids=repr)
async def test_undecodable_bytes_are_the_callers_fault(
    channel: grpc.aio.Channel, script: ScriptedInference, data: bytes
) -> None:
    """Unary and streaming; without a word of Python, and no handler sees them."""
    unary: Any = channel.unary_unary(METHOD + "Generate")  # bytes in, no type to tell
    streaming: Any = channel.unary_stream(METHOD + "GenerateStream")  # likewise
    for error in (await failure(unary(data)), await failure(drained(streaming(data)))):
        assert isinstance(error, InvalidRequest)
        assert error.reason == "MALFORMED_MESSAGE"
        assert not PYTHON_WORDS.search(error.message)
    assert script.requests == []


async def test_undecodable_bytes_in_the_middle_of_a_request_stream_are_too() -> None:
    """What came before them was served; the handler's stream of requests ends with the error."""

    async def echo(requests: AsyncIterator[Any], _: Any) -> AsyncGenerator[Any, None]:
        async for request in requests:
            yield request

    handler = grpc.stream_stream_rpc_method_handler(
        echo,
        request_deserializer=generate_pb2.GenerateRequest.FromString,
        response_serializer=generate_pb2.GenerateRequest.SerializeToString,
    )

    def add(server: grpc.aio.Server) -> None:
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("test.Echo", {"Echo": handler}),)
        )

    async with serving(add) as served, open_channel(served.address) as channel:
        call: Any = channel.stream_stream("/test.Echo/Echo")()  # bytes both ways
        await call.write(generate_pb2.GenerateRequest(text="x").SerializeToString())
        assert await call.read() != b""
        await call.write(UNDECODABLE[0])
        error = await failure(call.read())
    assert isinstance(error, InvalidRequest)
    assert error.reason == "MALFORMED_MESSAGE"


@pytest.mark.parametrize("after", [0, 1])
async def test_a_handlers_own_failure_is_told_without_its_words(
    stub: Stub, served: Serving, script: ScriptedInference, after: int
) -> None:
    """Unary, at the start of a stream and in the middle of one; the log finds it by its id."""
    play(script, raising(KeyError(CANARY), after=after))
    errors = [
        await failure(stub.Generate(generate_pb2.GenerateRequest())),
        await failure(drained(stub.GenerateStream(generate_pb2.GenerateStreamRequest()))),
    ]
    stories = [log for log in served.logs if log["event"] == "handler_failed"]
    assert len(stories) == len(errors)
    for error, story in zip(errors, stories, strict=True):
        assert isinstance(error, EngineFault)
        assert error.reason == "INTERNAL"
        assert CANARY not in error.message
        assert not PYTHON_WORDS.search(error.message)
        assert story["fault"] in error.message


async def test_messages_before_a_failure_arrive(stub: Stub, script: ScriptedInference) -> None:
    play(script, raising(RuntimeError(CANARY), after=2))
    call = stub.GenerateStream(generate_pb2.GenerateStreamRequest())
    for _ in range(2):
        assert await call.read() == generate_pb2.GenerateStreamResponse()
    assert isinstance(await failure(call.read()), EngineFault)


@pytest.mark.parametrize("after", [0, 1])
async def test_an_error_of_ours_arrives_with_everything_it_says(
    stub: Stub, script: ScriptedInference, after: int
) -> None:
    """The code, and in the rich details reason, field and when to try again."""
    told = Overloaded("too many", reason="QUEUE_FULL", field="model", retry_after_s=1.5)
    play(script, raising(told, after=after))
    for call in (
        stub.Generate(generate_pb2.GenerateRequest()),
        drained(stub.GenerateStream(generate_pb2.GenerateStreamRequest())),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert caught.value.details() == "too many"
        error = from_call(caught.value)
        assert (error.reason, error.field, error.retry_after_s) == ("QUEUE_FULL", "model", 1.5)


async def test_an_error_without_a_row_in_the_table_is_an_internal_one(
    stub: Stub, script: ScriptedInference
) -> None:
    """A new class that nobody gave a status must not become UNKNOWN with Python's words."""

    class Unlisted(ServiceError):
        """Not in the table."""

    play(script, raising(Unlisted("a sentence")))
    error = await failure(stub.Generate(generate_pb2.GenerateRequest()))
    assert isinstance(error, EngineFault)
    assert not PYTHON_WORDS.search(error.message)


async def test_a_message_over_the_limit_is_refused_before_our_code(
    stub: Stub, script: ScriptedInference
) -> None:
    big = generate_pb2.GenerateRequest(text="x" * (MAX_MESSAGE_BYTES + 1))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Generate(big)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert script.requests == []


async def test_metadata_over_the_limit_is_refused_every_time(
    stub: Stub, script: ScriptedInference
) -> None:
    """With grpcio's defaults refusal between a soft and a hard limit is a matter of chance."""
    too_much = (("x-padding", "x" * (MAX_METADATA_BYTES + 1024)),)
    for _ in range(4):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Generate(generate_pb2.GenerateRequest(), metadata=too_much)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert script.requests == []


async def test_metadata_under_the_limit_is_accepted_every_time(
    stub: Stub, script: ScriptedInference
) -> None:
    async def answer(request: generate_pb2.GenerateRequest) -> generate_pb2.GenerateResponse:
        return generate_pb2.GenerateResponse()

    script.generate = answer
    much = (("x-padding", "x" * (MAX_METADATA_BYTES - 1024)),)
    for _ in range(10):
        await stub.Generate(generate_pb2.GenerateRequest(), metadata=much)
    assert len(script.requests) == 10
