"""One engine service as the gateway sees it."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import grpc

from gateway.clients.calls import stream, unary
from gateway.values import FinishReason, Options
from steeple.common.v1 import finish_reason_pb2, sampling_pb2
from steeple.engine.v1 import engine_service_pb2_grpc, generate_pb2, info_pb2

LOST = "ENGINE_LOST"
CALL_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """What an engine serves; constant while its core lives."""

    instance_id: str
    model: str
    architecture: str
    model_fingerprint: str
    tokenizer_fingerprint: str
    vocab_size: int
    max_model_len: int
    dtype: str
    device: str
    scheduler: str
    max_num_seqs: int
    max_num_waiting: int
    default_max_tokens: int
    default_sampling: Options
    block_size: int
    num_blocks: int
    weights_bytes: int
    kv_cache_bytes: int

    @property
    def kv_tokens(self) -> int:
        """Tokens whose keys and values fit at once."""
        return self.num_blocks * self.block_size

    @property
    def max_concurrency(self) -> float:
        """Full-length requests that fit at once."""
        return min(self.kv_tokens / self.max_model_len, float(self.max_num_seqs))


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRequest:
    """One output to produce."""

    request_id: str
    model: str
    prompt_token_ids: tuple[int, ...]
    sampling: Options
    stopping: Options


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineUpdate:
    """What became known about a request; any part may be empty."""

    is_first: bool = False
    sampling: Options | None = None
    stopping: Options | None = None
    num_cached_prompt_tokens: int = 0
    queue_ns: int = 0
    first_position: int = 0
    token_ids: tuple[int, ...] = ()
    finish_reason: FinishReason | None = None
    stop_token_id: int | None = None
    prefill_ns: int = 0
    decode_ns: int = 0


class EngineClient:
    """Calls one engine service. Owns nothing but the stub."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = engine_service_pb2_grpc.EngineServiceStub(channel)

    async def facts(self) -> EngineFacts:
        """What the engine serves."""
        call = self._stub.GetEngineInfo(info_pb2.GetEngineInfoRequest(), timeout=CALL_TIMEOUT_S)
        return _facts(await unary(call, lost=LOST))

    async def num_requests(self) -> int:
        """Requests running and waiting, of every gateway."""
        call = self._stub.GetLoad(info_pb2.GetLoadRequest(), timeout=CALL_TIMEOUT_S)
        load = await unary(call, lost=LOST)
        return load.num_running + load.num_waiting

    async def generate(
        self, request: EngineRequest, timeout_s: float | None
    ) -> AsyncGenerator[EngineUpdate, None]:
        """Produce one output; leaving in any way ends it on the engine."""
        message = generate_pb2.GenerateRequest(
            request_id=request.request_id,
            model=request.model,
            prompt_token_ids=request.prompt_token_ids,
            sampling=sampling_pb2.SamplingParams(**request.sampling),  # type: ignore[arg-type] # by name
            stopping=sampling_pb2.StoppingParams(**request.stopping),  # type: ignore[arg-type] # by name
        )
        call = self._stub.Generate(message, timeout=timeout_s)
        async with aclosing(stream(call, lost=LOST)) as responses:
            async for response in responses:
                yield _update(response)


def _facts(info: info_pb2.GetEngineInfoResponse) -> EngineFacts:
    return EngineFacts(
        instance_id=info.instance_id,
        model=info.model,
        architecture=info.architecture,
        model_fingerprint=info.model_fingerprint,
        tokenizer_fingerprint=info.tokenizer_fingerprint,
        vocab_size=info.vocab_size,
        max_model_len=info.max_model_len,
        dtype=info.dtype,
        device=info.device,
        scheduler=info.geometry.scheduler,
        max_num_seqs=info.max_num_seqs,
        max_num_waiting=info.max_num_waiting,
        default_max_tokens=info.default_max_tokens,
        default_sampling=_options(info.default_sampling),
        block_size=info.block_size,
        num_blocks=info.num_blocks,
        weights_bytes=info.weights_bytes,
        kv_cache_bytes=info.kv_cache_bytes,
    )


def _update(response: generate_pb2.GenerateResponse) -> EngineUpdate:
    started = response.started if response.HasField("started") else None
    finished = response.finished if response.HasField("finished") else None
    has_stop = finished is not None and finished.HasField("stop_token_id")
    return EngineUpdate(
        is_first=started is not None,
        sampling=_options(started.sampling) if started else None,
        stopping=_options(started.stopping) if started else None,
        num_cached_prompt_tokens=started.cached_prompt_tokens if started else 0,
        queue_ns=started.queue_ns if started else 0,
        first_position=response.delta.first_position,
        token_ids=tuple(response.delta.token_ids),
        finish_reason=_reason(finished.finish_reason) if finished else None,
        stop_token_id=response.finished.stop_token_id if has_stop else None,
        prefill_ns=response.finished.prefill_ns,
        decode_ns=response.finished.decode_ns,
    )


def _reason(number: finish_reason_pb2.FinishReason.ValueType) -> FinishReason:
    name = finish_reason_pb2.FinishReason.Name(number)
    return FinishReason[name.removeprefix("FINISH_REASON_")]


def _options(
    message: sampling_pb2.SamplingParams | sampling_pb2.StoppingParams,
) -> dict[str, object]:
    return {field.name: value for field, value in message.ListFields()}
