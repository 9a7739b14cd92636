"""EngineService by script, and a request that is put to it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import grpc

from gateway.clients.engine import EngineClient
from gateway.upstream_values import EngineRequest, EngineUpdate
from steeple.common.v1 import finish_reason_pb2, sampling_pb2
from steeple.engine.v1 import (
    engine_service_pb2_grpc,
    generate_pb2,
    info_pb2,
    step_stream_pb2,
)
from steeple_rpc.context import REQUEST_ID_KEY, Context
from steeple_rpc.errors import (
    ServiceError,
)
from steeple_rpc.status import to_proto

REQUEST = EngineRequest(
    request_id="r",
    model="m",
    prompt_token_ids=(1, 2),
    sampling={"seed": 7, "temperature": 0.0},
    stopping={"max_tokens": 4, "stop_token_ids": (9,)},
    priority=-2,
)
INFO = info_pb2.GetEngineInfoResponse(
    instance_id="i",
    model="m",
    max_model_len=100,
    max_num_seqs=4,
    block_size=16,
    num_blocks=10,
    runner="fms",
    load_ns=7,
    version="9.9",
    default_sampling=sampling_pb2.SamplingParams(temperature=0.5),
    geometry=info_pb2.Geometry(scheduler="continuous"),
)
END = generate_pb2.GenerateResponse(
    finished=generate_pb2.Finished(finish_reason=finish_reason_pb2.FINISH_REASON_MAX_TOKENS)
)


@dataclass
class Engines(engine_service_pb2_grpc.EngineServiceServicer):
    """EngineService by script: the responses, then the error or, unless it hangs, the end."""

    responses: list[generate_pb2.GenerateResponse] = field(default_factory=list)
    error: ServiceError | None = None
    hangs: bool = False
    requests: list[generate_pb2.GenerateRequest] = field(default_factory=list)
    rpc_ids: list[str] = field(default_factory=list)
    submits: list[step_stream_pb2.SubmitRequest] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    def add_to(self, server: grpc.aio.Server) -> None:
        engine_service_pb2_grpc.add_EngineServiceServicer_to_server(self, server)

    async def StepStream(  # noqa: N802 - named by the contract
        self, request_iterator: AsyncIterator[step_stream_pb2.StepStreamRequest], context: Context
    ) -> AsyncIterator[step_stream_pb2.StepStreamResponse]:
        try:
            async for message in request_iterator:
                for command in message.commands:
                    for update in self._updates(command):
                        update.number = command.number
                        yield step_stream_pb2.StepStreamResponse(updates=[update])
        finally:
            self.left.set()

    def _updates(
        self, command: step_stream_pb2.RequestCommand
    ) -> Iterator[step_stream_pb2.RequestUpdate]:
        if command.HasField("leave"):
            self.left.set()
            return
        self.requests.append(command.submit.request)
        self.submits.append(command.submit)
        self.rpc_ids.append(command.submit.metadata.get(REQUEST_ID_KEY, ""))
        for response in self.responses:
            yield step_stream_pb2.RequestUpdate(response=response)
        if self.error is not None:
            yield step_stream_pb2.RequestUpdate(error=to_proto(self.error))
        elif not self.hangs:
            yield step_stream_pb2.RequestUpdate(response=END)

    async def GetEngineInfo(  # noqa: N802 - named by the contract
        self, request: info_pb2.GetEngineInfoRequest, context: Context
    ) -> info_pb2.GetEngineInfoResponse:
        return INFO

    async def GetLoad(  # noqa: N802 - named by the contract
        self, request: info_pb2.GetLoadRequest, context: Context
    ) -> info_pb2.GetLoadResponse:
        return info_pb2.GetLoadResponse(num_running=2, num_waiting=3)


async def updates_of(
    engine: EngineClient,
    timeout_s: float | None = None,
    request: EngineRequest = REQUEST,
    *,
    at_most: int | None = None,
) -> list[EngineUpdate]:
    """What the engine tells until its end, or until that is enough."""
    updates: list[EngineUpdate] = []

    def take(update: EngineUpdate) -> bool:
        updates.append(update)
        return len(updates) != at_most

    await engine.generate(request, timeout_s, take)
    return updates
