"""One engine service as the gateway sees it."""

from collections.abc import Callable
from dataclasses import replace

import grpc

from gateway.clients.calls import unary, upstream_call
from gateway.clients.step_stream import LOST, StepStream
from gateway.upstream_values import (
    EngineFacts,
    EngineReport,
    EngineRequest,
    EngineUpdate,
    TokenLogprobs,
)
from gateway.values import FinishReason, LogprobsWanted
from steeple.common.v1 import finish_reason_pb2, sampling_pb2, tokens_pb2
from steeple.engine.v1 import (
    engine_service_pb2_grpc,
    generate_pb2,
    info_pb2,
    step_stream_pb2,
)
from steeple_rpc.errors import EngineFault, ServiceError
from steeple_rpc.message_fields import set_fields

# What a request is seen as, on both sides of the stream that carries it.
_GENERATE = "/steeple.engine.v1.EngineService/Generate"
CALL_TIMEOUT_S = 5.0


class EngineClient:
    """Calls one engine service.

    Args:
        channel: to it.
        clock: monotonic seconds.
    """

    def __init__(self, channel: grpc.aio.Channel, clock: Callable[[], float]) -> None:
        self._stub = engine_service_pb2_grpc.EngineServiceStub(channel)
        self._steps = StepStream(channel, clock)

    async def facts(self) -> EngineFacts:
        """What the engine serves."""
        call = self._stub.GetEngineInfo(info_pb2.GetEngineInfoRequest(), timeout=CALL_TIMEOUT_S)
        info = await unary(call, lost=LOST)
        if info.max_message_bytes:
            self._steps.max_message_bytes = info.max_message_bytes
        return _facts(info)

    async def report(self) -> EngineReport:
        """How busy it is, by every gateway's requests."""
        call = self._stub.GetLoad(info_pb2.GetLoadRequest(), timeout=CALL_TIMEOUT_S)
        return _report(await unary(call, lost=LOST))

    async def generate(
        self,
        request: EngineRequest,
        timeout_s: float | None,
        take: Callable[[EngineUpdate], bool],
    ) -> None:
        """Produce one output; leaving in any way ends it on the engine.

        Args:
            request: what to compute.
            timeout_s: what the caller has left; None = endless.
            take: gets every update in order; False = nothing more is wanted. What it raises ends
                the request.

        Raises:
            ServiceError: the engine refused or failed it, or is lost; or what `take` raised.
        """
        try:
            with upstream_call(_GENERATE) as metadata:
                submit = step_stream_pb2.SubmitRequest(
                    request=_message(request),
                    timeout_ns=None if timeout_s is None else max(0, int(timeout_s * 1e9)),
                    metadata=dict(metadata),
                )
                await self._steps.run(submit, timeout_s, lambda told: take(_update(told)))
        except ServiceError as error:
            # The caller's contract has no ids of the engine's; the rest of it is the same.
            error.field = "prompt" if error.field == "prompt_token_ids" else error.field
            raise

    def break_off(self) -> None:
        """Leave the stream that is open: its engine does not answer."""
        self._steps.break_off()

    async def close(self) -> None:
        """End all requests."""
        await self._steps.close()


def _message(request: EngineRequest) -> generate_pb2.GenerateRequest:
    return generate_pb2.GenerateRequest(
        request_id=request.request_id,
        model=request.model,
        prompt_token_ids=request.prompt_token_ids,
        prior_output_token_ids=request.prior_output_token_ids,
        sampling=sampling_pb2.SamplingParams(**request.sampling),  # type: ignore[arg-type] # by name
        stopping=sampling_pb2.StoppingParams(**request.stopping),  # type: ignore[arg-type] # by name
        output=_output(request.logprobs),
        priority=request.priority,
        cache_salt=request.cache_salt,
        bad_word_ids=[tokens_pb2.TokenIds(ids=ids) for ids in request.bad_word_ids],
    )


def _output(wanted: LogprobsWanted | None) -> sampling_pb2.OutputParams | None:
    if wanted is None:
        return None
    return sampling_pb2.OutputParams(logprobs=wanted.num_top, logprob_token_ids=wanted.token_ids)


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
        default_sampling=set_fields(info.default_sampling),
        block_size=info.block_size,
        num_blocks=info.num_blocks,
        weights_bytes=info.weights_bytes,
        kv_cache_bytes=info.kv_cache_bytes,
        runner=info.runner,
        load_ns=info.load_ns,
        version=info.version,
    )


def _report(load: info_pb2.GetLoadResponse) -> EngineReport:
    return EngineReport(
        num_running=load.num_running,
        num_waiting=load.num_waiting,
        num_waiting_tokens=load.num_waiting_tokens,
        num_free_blocks=load.num_free_blocks,
        num_used_blocks=load.num_used_blocks,
        num_cached_blocks=load.num_cached_blocks,
        num_total_blocks=load.num_total_blocks,
        is_draining=load.draining,
        since_last_step_ns=load.since_last_step_ns,
        num_steps=load.num_steps,
        num_output_tokens=load.num_output_tokens,
        num_preemptions=load.num_preemptions,
        num_prompt_tokens=load.num_prompt_tokens,
        num_cached_prompt_tokens=load.num_cached_prompt_tokens,
    )


def _update(response: generate_pb2.GenerateResponse) -> EngineUpdate:
    delta = response.delta
    update = EngineUpdate(
        first_position=delta.first_position,
        token_ids=tuple(delta.token_ids),
        logprobs=tuple(map(_logprobs, delta.logprobs)),
    )
    if response.HasField("started"):
        update = _with_start(update, response.started)
    if response.HasField("finished"):
        update = _with_end(update, response.finished)
    return update


def _with_start(update: EngineUpdate, started: generate_pb2.Started) -> EngineUpdate:
    return replace(
        update,
        is_first=True,
        sampling=set_fields(started.sampling),
        stopping=set_fields(started.stopping),
        num_cached_prompt_tokens=started.cached_prompt_tokens,
        queue_ns=started.queue_ns,
    )


def _with_end(update: EngineUpdate, finished: generate_pb2.Finished) -> EngineUpdate:
    return replace(
        update,
        finish_reason=_reason(finished.finish_reason),
        stop_token_id=finished.stop_token_id if finished.HasField("stop_token_id") else None,
        prefill_ns=finished.prefill_ns,
        decode_ns=finished.decode_ns,
    )


def _logprobs(position: generate_pb2.TokenLogprobs) -> TokenLogprobs:
    if len(position.top_token_ids) != len(position.top_logprobs):
        raise EngineFault("the engine told candidates and no odds", reason="BAD_ENGINE")
    top = zip(position.top_token_ids, position.top_logprobs, strict=True)
    return TokenLogprobs(logprob=position.logprob, rank=position.rank, top=tuple(top))


def _reason(number: finish_reason_pb2.FinishReason.ValueType) -> FinishReason:
    name = finish_reason_pb2.FinishReason.Name(number)
    return FinishReason[name.removeprefix("FINISH_REASON_")]
