"""The one line that a request leaves in the log, over a real channel."""

import asyncio
from collections.abc import AsyncIterator, Mapping, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from gateway.services.inference import InferenceService
from steeple.inference.v1 import generate_pb2, inference_service_pb2_grpc
from steeple_rpc.channel import open_channel
from steeple_rpc.errors import EngineFault
from tests.support.gateway_fakes import MODEL, FakeEngine, first
from tests.support.pipeline_harness import Harness, answering, hanging
from tests.support.servers import Serving, drained, failure, serving
from tests.support.token_door import TokenDoor
from tests.support.waiting import eventually

METHOD = "/steeple.inference.v1.InferenceService/GenerateStream"


class Caller:
    """Calls a served pipeline, and reads its log."""

    def __init__(self, served: Serving, channel: grpc.aio.Channel) -> None:
        self._served = served
        self.stub: Any = inference_service_pb2_grpc.InferenceServiceStub(channel)

    def stream(self, metadata: Any = (), **fields: Any) -> Any:
        request = generate_pb2.GenerateStreamRequest(**{"text": "secret", **fields})
        return self.stub.GenerateStream(request, metadata=metadata)

    async def line(self) -> Mapping[str, Any]:
        """The only line that tells its end: a moment after it has come."""
        await asyncio.to_thread(eventually, lambda: bool(self._lines()))
        (line,) = self._lines()
        assert not any(text in str(line) for text in ("secret", "<5>"))
        return line

    def _lines(self) -> list[MutableMapping[str, Any]]:
        return [log for log in self._served.logs if log.get("method") == METHOD and "code" in log]


@asynccontextmanager
async def calling(engine: FakeEngine, door: TokenDoor | None = None) -> AsyncIterator[Caller]:
    service = InferenceService(Harness(engine).pipeline)

    def add(server: grpc.aio.Server) -> None:
        inference_service_pb2_grpc.add_InferenceServiceServicer_to_server(service, server)

    guards = [door.guard] if door else []
    async with (
        serving(add, interceptors=guards) as served,
        open_channel(served.address) as channel,
    ):
        yield Caller(served, channel)


async def test_a_request_leaves_one_line_that_tells_what_came_of_it() -> None:
    """Of the request and of its RPC: ids, counts and times; neither the prompt nor the answer."""
    engine, door = answering(), TokenDoor("alice")
    async with calling(engine, door) as caller:
        await drained(caller.stream(door.shown_by("alice"), request_id="r1"))
        line = await caller.line()
    assert (line["event"], line["log_level"]) == ("request_finished", "info")
    assert (line["code"], line["finish_reason"]) == ("OK", "MAX_TOKENS")
    assert (line["public_request_id"], line["model"], line["principal"]) == ("r1", MODEL, "alice")
    assert line["engine_request_id"] == engine.requests[0].request_id
    assert (line["num_prompt_tokens"], line["num_completion_tokens"]) == (6, 2)
    times = {"took_ms", "tokenize_ms", "queue_ms", "prefill_ms", "decode_ms"}
    assert times <= line.keys()
    assert "reason" not in line


@pytest.mark.parametrize(
    ("fields", "event", "code", "reason"),
    [
        ({"model": "gpt"}, "request_finished", "NOT_FOUND", "MODEL_NOT_FOUND"),
        # Refused before it is a request at all.
        ({"text": ""}, "rpc_finished", "INVALID_ARGUMENT", "EMPTY_PROMPT"),
    ],
)
async def test_a_refused_request_leaves_a_line_with_its_reason(
    fields: dict[str, str], event: str, code: str, reason: str
) -> None:
    async with calling(answering()) as caller:
        await failure(drained(caller.stream(**fields)))
        line = await caller.line()
    assert (line["event"], line["log_level"]) == (event, "info")
    assert (line["code"], line["reason"]) == (code, reason)
    assert line["field"]


async def test_who_is_not_let_in_leaves_a_line() -> None:
    async with calling(answering(), TokenDoor("alice")) as caller:
        await failure(drained(caller.stream()))
        line = await caller.line()
    assert (line["event"], line["reason"]) == ("rpc_finished", "TOKEN_MISSING")


async def test_a_request_that_was_left_is_told_as_cancelled() -> None:
    async with calling(hanging()) as caller:
        call = caller.stream()
        await call.read()
        call.cancel()
        line = await caller.line()
    assert (line["event"], line["code"]) == ("request_finished", "CANCELLED")
    assert line["num_prompt_tokens"] == 6
    assert "finish_reason" not in line


async def test_a_fault_of_ours_is_told_as_one() -> None:
    async with calling(FakeEngine([first()], error=ZeroDivisionError())) as caller:
        assert isinstance(await failure(drained(caller.stream())), EngineFault)
        line = await caller.line()
    assert (line["code"], line["reason"]) == ("INTERNAL", "INTERNAL")
