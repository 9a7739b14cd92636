"""How calls end and how they are told: cancellation that reaches the handler, one log line."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pytest

from steeple.inference.v1 import events_pb2, generate_pb2, inference_service_pb2_grpc
from steeple_client import AsyncClient, Client, Event, TextDelta
from steeple_rpc.channel import open_channel
from steeple_rpc.context import REQUEST_ID_KEY, RpcContext, current_rpc
from steeple_rpc.seen_call import MAX_REQUEST_ID
from tests.support.scripted import ScriptedInference
from tests.support.servers import Serving, serving
from tests.support.waiting import LIMIT_S

CANARY = "canary-of-the-prompt"
PATIENCE_S = 5.0
FAR_BEYOND_ANY_WINDOW = 32 << 20
"""Bytes that flow control does not let out while nobody reads."""

# It exists in the stubs only.
Stub: TypeAlias = "inference_service_pb2_grpc.InferenceServiceAsyncStub"


@dataclass
class Script:
    """Streams one delta, then waits for its end; knows how it ended and what its RPC was told."""

    contexts: list[RpcContext] = field(default_factory=list)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    was_cancelled: bool | None = None
    writes: asyncio.Event = field(default_factory=asyncio.Event)
    has_written: bool = False

    async def generate(self, _: generate_pb2.GenerateRequest) -> generate_pb2.GenerateResponse:
        self.contexts.append(current_rpc())
        return generate_pb2.GenerateResponse()

    async def stream(
        self, request: generate_pb2.GenerateStreamRequest
    ) -> AsyncGenerator[generate_pb2.GenerateStreamResponse, None]:
        self.was_cancelled = True
        try:
            yield delta(request.text)
            await self.may_end.wait()
            self.was_cancelled = False
        finally:
            self.ended.set()

    async def flood(
        self, _: generate_pb2.GenerateStreamRequest
    ) -> AsyncGenerator[generate_pb2.GenerateStreamResponse, None]:
        try:
            yield delta("")
            self.writes.set()
            yield delta("x" * FAR_BEYOND_ANY_WINDOW)
            self.has_written = True
        finally:
            self.ended.set()


def delta(text: str) -> generate_pb2.GenerateStreamResponse:
    return generate_pb2.GenerateStreamResponse(delta=events_pb2.TextDelta(text=text))


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
async def served(script: Script) -> AsyncIterator[Serving]:
    service = ScriptedInference(generate=script.generate, generate_stream=script.stream)
    async with serving(service.add_to) as served:
        yield served


@pytest.fixture
async def stub(served: Serving) -> AsyncIterator[Stub]:
    async with open_channel(served.address) as channel:
        yield inference_service_pb2_grpc.InferenceServiceStub(channel)


async def ended(script: Script) -> None:
    async with asyncio.timeout(LIMIT_S):
        await script.ended.wait()


def finished(served: Serving) -> list[Any]:
    return [log for log in served.logs if log["event"] == "rpc_finished"]


async def test_closing_an_async_stream_ends_it_on_the_server(
    served: Serving, script: Script
) -> None:
    async with AsyncClient(served.address) as client:
        async with aclosing(client.generate_stream("x")) as events:
            assert isinstance(await anext(events), TextDelta)
        await ended(script)
    assert script.was_cancelled


def first_of(events: Iterator[Event]) -> Event:
    return next(events)


@pytest.mark.parametrize("way", ["close", "drop"])
async def test_leaving_a_blocking_stream_ends_it_on_the_server(
    served: Serving, script: Script, way: str
) -> None:
    def leave(client: Client) -> Event:
        events = client.generate_stream("x")
        event = first_of(events)
        if way == "close":
            events.close()
        del events
        return event

    with Client(served.address) as client:
        assert isinstance(await asyncio.to_thread(leave, client), TextDelta)
        await ended(script)
    assert script.was_cancelled


async def test_a_call_that_was_only_broken_off_goes_on(stub: Stub, script: Script) -> None:
    """`break` out of a call's loop cancels nothing: why our clients cancel in `finally`."""
    call = stub.GenerateStream(generate_pb2.GenerateStreamRequest())
    async for _ in call:
        break
    # A round trip on the same connection: a cancellation would have come before it.
    await stub.Generate(generate_pb2.GenerateRequest())
    assert not script.ended.is_set()
    script.may_end.set()
    await ended(script)
    assert script.was_cancelled is False


async def test_a_handler_that_is_blocked_in_a_write_is_cleaned_up(script: Script) -> None:
    """A caller that never reads and then leaves: the handler's `finally` runs all the same."""
    service = ScriptedInference(generate=script.generate, generate_stream=script.flood)
    async with serving(service.add_to) as flooding, open_channel(flooding.address) as channel:
        stub = inference_service_pb2_grpc.InferenceServiceStub(channel)
        call = stub.GenerateStream(generate_pb2.GenerateStreamRequest())
        await call.read()
        await script.writes.wait()
        await stub.Generate(generate_pb2.GenerateRequest())
        assert not script.ended.is_set()
        call.cancel()
        await ended(script)
    assert not script.has_written


async def test_a_callers_request_id_is_taken(stub: Stub, served: Serving, script: Script) -> None:
    await stub.Generate(generate_pb2.GenerateRequest(), metadata=((REQUEST_ID_KEY, "abc-1"),))
    (context,) = script.contexts
    assert context.request_id == "abc-1"


async def test_a_request_id_is_cut_to_its_limit(stub: Stub, script: Script) -> None:
    metadata = ((REQUEST_ID_KEY, "x" * (MAX_REQUEST_ID + 1)),)
    await stub.Generate(generate_pb2.GenerateRequest(), metadata=metadata)
    assert script.contexts[0].request_id == "x" * MAX_REQUEST_ID


async def test_a_missing_request_id_is_made_anew_each_time(stub: Stub, script: Script) -> None:
    for _ in range(2):
        await stub.Generate(generate_pb2.GenerateRequest())
    first, second = (context.request_id for context in script.contexts)
    assert first
    assert first != second


async def test_a_handler_knows_the_callers_deadline(stub: Stub, script: Script) -> None:
    """On the loop's clock; None where the caller waits for ever."""
    now = asyncio.get_running_loop().time()
    await stub.Generate(generate_pb2.GenerateRequest(), timeout=100.0)
    await stub.Generate(generate_pb2.GenerateRequest())
    given, none = (context.deadline_s for context in script.contexts)
    assert given is not None
    assert now + 90 < given < now + 100 + PATIENCE_S
    assert none is None


async def test_every_rpc_logs_one_line_without_content(
    stub: Stub, served: Serving, script: Script
) -> None:
    script.may_end.set()
    await stub.Generate(generate_pb2.GenerateRequest(text=CANARY))
    async for _ in stub.GenerateStream(generate_pb2.GenerateStreamRequest(text=CANARY)):
        pass
    await ended(script)
    lines = finished(served)
    assert [line["method"].rpartition("/")[2] for line in lines] == ["Generate", "GenerateStream"]
    assert all(line["code"] == "OK" and line["took_ms"] >= 0 for line in lines)
    assert CANARY not in repr(served.logs)


async def test_a_cancelled_rpc_logs_one_line_too(
    stub: Stub, served: Serving, script: Script
) -> None:
    call = stub.GenerateStream(generate_pb2.GenerateStreamRequest())
    await call.read()
    call.cancel()
    await ended(script)
    assert [line["code"] for line in finished(served)] == ["CANCELLED"]
