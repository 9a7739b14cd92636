"""The engine's RPCs: check, submit, stream. Thin."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from engine_svc.convert import to_info, to_load, to_response
from engine_svc.core.messages import EngineInfo
from engine_svc.core.outputs import RequestOutput
from engine_svc.core.params import RequestId
from engine_svc.core.request_spec import RequestSpec
from engine_svc.front import EngineFront
from engine_svc.phases import PhaseSpans
from engine_svc.step_streams import StepStreams
from engine_svc.validation import EngineLimits, to_spec
from steeple.engine.v1 import (
    engine_service_pb2,
    engine_service_pb2_grpc,
    generate_pb2,
    info_pb2,
    pool_pb2,
    step_stream_pb2,
)
from steeple_rpc.context import Context, send_headers, time_left_s
from steeple_rpc.errors import Unavailable, Unsupported
from steeple_rpc.limits import check_count
from steeple_rpc.observing import RpcObserver
from steeple_rpc.outbox import Outbox
from steeple_rpc.tracing import current_trace

MAX_ABORTS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """What the service tells about itself beyond the core's own facts."""

    name: str
    default_max_tokens: int
    max_num_waiting: int
    max_message_bytes: int


class EngineService(engine_service_pb2_grpc.EngineServiceServicer):
    """EngineService of engine/v1.

    Args:
        front: live requests.
        served: what is told about the engine.
        on_drain: begins the process's end.
        observers: told of requests that share a stream as if each were an RPC.
    """

    def __init__(
        self,
        front: EngineFront,
        served: ServedModel,
        on_drain: Callable[[], None],
        observers: Sequence[RpcObserver] = (),
    ) -> None:
        self._front = front
        self._served = served
        self._on_drain = on_drain
        self._streams = StepStreams(
            self._submit, lambda spec: front.release(spec.request_id), observers
        )

    def drain(self) -> None:
        """Begin nothing new; each stream ends with its last live request."""
        self._front.drain()
        self._streams.drain()

    async def Generate(
        self, request: generate_pb2.GenerateRequest, context: Context
    ) -> AsyncIterator[generate_pb2.GenerateResponse]:
        """Stream one output's tokens; leaving in any way ends the request."""
        spec, outbox = self._submit(request, time_left_s())
        phases = PhaseSpans(current_trace())
        try:
            async for outputs in outbox.batches():
                phases.note(outputs)
                yield to_response(spec, outputs)
        finally:
            self._front.release(spec.request_id)

    async def StepStream(
        self,
        request_iterator: AsyncIterator[step_stream_pb2.StepStreamRequest],
        context: Context,
    ) -> AsyncIterator[step_stream_pb2.StepStreamResponse]:
        """Stream the tokens of all outputs of one gateway until it leaves, or until drained."""
        await send_headers(context)
        async with aclosing(self._streams.serve(request_iterator)) as messages:
            async for message in messages:
                yield message

    async def Abort(
        self, request: engine_service_pb2.AbortRequest, context: Context
    ) -> engine_service_pb2.AbortResponse:
        """End requests; unknown ids are fine."""
        check_count("request_ids", len(request.request_ids), MAX_ABORTS)
        self._front.abort(RequestId(request_id) for request_id in request.request_ids)
        return engine_service_pb2.AbortResponse()

    async def Pool(self, request: pool_pb2.PoolRequest, context: Context) -> pool_pb2.PoolResponse:
        """Not built yet."""
        raise Unsupported("pooling is not supported yet")

    async def GetLoad(
        self, request: info_pb2.GetLoadRequest, context: Context
    ) -> info_pb2.GetLoadResponse:
        """How busy the engine is."""
        return to_load(
            self._front.load,
            since_last_step_s=self._front.since_last_step_s,
            is_draining=self._front.is_draining,
        )

    async def GetEngineInfo(
        self, request: info_pb2.GetEngineInfoRequest, context: Context
    ) -> info_pb2.GetEngineInfoResponse:
        """What the engine serves."""
        return to_info(
            self._info(),
            instance_id=self._front.instance_id,
            model=self._served.name,
            max_num_waiting=self._served.max_num_waiting,
            default_max_tokens=self._served.default_max_tokens,
            max_message_bytes=self._served.max_message_bytes,
        )

    async def Drain(
        self, request: engine_service_pb2.DrainRequest, context: Context
    ) -> engine_service_pb2.DrainResponse:
        """Take nothing new, finish what runs, end."""
        if request.HasField("grace"):
            raise Unsupported("a grace of its own is not supported yet", field="grace")
        self._on_drain()
        return engine_service_pb2.DrainResponse()

    def _submit(
        self,
        request: generate_pb2.GenerateRequest,
        timeout_s: float | None,
        wake: Callable[[], None] | None = None,
    ) -> tuple[RequestSpec, Outbox[RequestOutput]]:
        """Check a request and pass it on.

        Raises:
            ServiceError: it is refused.
        """
        limits = EngineLimits(
            model=self._served.name,
            default_max_tokens=self._served.default_max_tokens,
            info=self._info(),
        )
        spec = to_spec(request, limits, timeout_s=timeout_s)
        return spec, self._front.submit(spec, wake)

    def _info(self) -> EngineInfo:
        if self._front.info is None:
            raise Unavailable("the engine is starting", reason="STARTING")
        return self._front.info
