"""An engine service whose core is the test, and one gateway's stream to it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from engine_svc.core.messages import EngineInfo
from engine_svc.core.outputs import RequestOutput
from engine_svc.core.params import FinishReason, RequestId
from engine_svc.core.request_spec import RequestSpec
from engine_svc.service import EngineService, ServedModel
from steeple.engine.v1 import engine_service_pb2_grpc, generate_pb2, step_stream_pb2
from steeple_rpc.channel import open_paced_channel
from steeple_rpc.errors import (
    Unavailable,
)
from steeple_rpc.observing import Metadata, RpcEnd
from steeple_rpc.outbox import Outbox
from tests.support.engine_infos import engine_info
from tests.support.waiting import LIMIT_S, eventually

# The stubs' streams are generic in their stubs only.
Call = Any
Updates = list[step_stream_pb2.RequestUpdate]


@dataclass
class PlayedFront:
    """Keeps what is submitted; the test plays the core."""

    info: EngineInfo = field(default_factory=engine_info)
    outboxes: dict[str, Outbox[RequestOutput]] = field(default_factory=dict)
    specs: dict[str, RequestSpec] = field(default_factory=dict)
    released: list[str] = field(default_factory=list)
    refusal: Exception | None = None

    def drain(self) -> None:
        self.refusal = Unavailable("the engine is draining", reason="DRAINING")

    def submit(self, spec: RequestSpec, wake: Callable[[], None]) -> Outbox[RequestOutput]:
        if self.refusal is not None:
            raise self.refusal
        outbox = Outbox[RequestOutput](time.monotonic, wake=wake)
        self.outboxes[spec.request_id], self.specs[spec.request_id] = outbox, spec
        return outbox

    def release(self, request_id: str) -> None:
        self.released.append(request_id)

    def tell(self, name: str, *token_ids: int, ends: bool = False, size_bytes: int = 1) -> None:
        """The core computed this."""
        reason = FinishReason.EOS if ends else None
        output = RequestOutput(
            request_id=RequestId(name), token_ids=token_ids, finish_reason=reason
        )
        self.outboxes[name].put(output, size_bytes)
        if ends:
            self.outboxes[name].close()


class Observer:
    """Remembers how each call ended, and whose it was."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, dict[str, str | bytes]]] = []
        self.ended: list[tuple[str, str]] = []

    def begin(self, method: str, metadata: Metadata) -> RpcEnd:
        self.begun.append((method, dict(metadata)))

        def end(code: grpc.StatusCode, reason: str) -> None:
            self.ended.append((code.name, reason))

        return end


class PlayedEngine:
    """An engine service whose core is the test."""

    def __init__(self) -> None:
        self.front = PlayedFront()
        self.observer = Observer()
        served = ServedModel(
            name="demo", default_max_tokens=10, max_num_waiting=4, max_message_bytes=99
        )
        self.service = EngineService(
            self.front,  # type: ignore[arg-type] # plays a front
            served,
            lambda: None,
            [self.observer],
        )

    def add_to(self, server: grpc.aio.Server) -> None:
        engine_service_pb2_grpc.add_EngineServiceServicer_to_server(self.service, server)

    async def has(self, *names: str) -> None:
        """Return once these requests have come."""
        await asyncio.to_thread(eventually, lambda: set(names) <= set(self.front.outboxes))


@asynccontextmanager
async def opened(address: str) -> AsyncIterator[Call]:
    async with open_paced_channel(address) as channel:
        stub: Any = engine_service_pb2_grpc.EngineServiceStub(channel)
        call = stub.StepStream()
        await call.initial_metadata()
        try:
            yield call
        finally:
            call.cancel()


def submit(number: int, name: str, **given: Any) -> step_stream_pb2.RequestCommand:
    request = generate_pb2.GenerateRequest(request_id=name, model="demo", prompt_token_ids=[1])
    request.sampling.temperature = 0.0
    return step_stream_pb2.RequestCommand(
        number=number, submit=step_stream_pb2.SubmitRequest(request=request, **given)
    )


def leave(number: int) -> step_stream_pb2.RequestCommand:
    return step_stream_pb2.RequestCommand(number=number, leave=step_stream_pb2.LeaveRequest())


async def send(call: Call, *commands: step_stream_pb2.RequestCommand) -> None:
    await call.write(step_stream_pb2.StepStreamRequest(commands=commands))


async def heard(call: Call) -> Updates:
    """The next message."""
    async with asyncio.timeout(LIMIT_S):
        message = await call.read()
    assert message is not grpc.aio.EOF
    return list(message.updates)


def ids(update: step_stream_pb2.RequestUpdate) -> list[int]:
    return list(update.response.delta.token_ids)
