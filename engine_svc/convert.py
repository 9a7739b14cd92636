"""The engine's values as wire messages."""

from collections.abc import Sequence

from engine_svc.convert_geometry import geometry_message
from engine_svc.core.messages import EngineInfo, StepOutputs
from engine_svc.core.outputs import RequestOutput, TokenLogprobs
from engine_svc.core.params import FinishReason, LengthPenalty, SamplingParams, StoppingParams
from engine_svc.core.request_spec import RequestSpec
from engine_svc.step_lanes import News
from steeple.common.v1 import finish_reason_pb2, sampling_pb2
from steeple.engine.v1 import generate_pb2, info_pb2, step_stream_pb2
from steeple_rpc.status import to_proto
from steeple_rpc.version import steeple_version

FINISH_REASONS = {
    FinishReason.EOS: finish_reason_pb2.FINISH_REASON_EOS,
    FinishReason.STOP_TOKEN: finish_reason_pb2.FINISH_REASON_STOP_TOKEN,
    FinishReason.MAX_TOKENS: finish_reason_pb2.FINISH_REASON_MAX_TOKENS,
    FinishReason.CONTEXT_LENGTH: finish_reason_pb2.FINISH_REASON_CONTEXT_LENGTH,
    FinishReason.TIME_LIMIT: finish_reason_pb2.FINISH_REASON_TIME_LIMIT,
    FinishReason.ABORTED: finish_reason_pb2.FINISH_REASON_ABORTED,
}


def to_response(
    spec: RequestSpec, outputs: Sequence[RequestOutput]
) -> generate_pb2.GenerateResponse:
    """All that gathered for a request, as one message of its own; see `fill_response`."""
    response = generate_pb2.GenerateResponse(request_id=spec.request_id)
    fill_response(response, spec, outputs)
    return response


def to_steps(gathered: Sequence[News]) -> step_stream_pb2.StepStreamResponse:
    """What became known about the requests of one gateway."""
    response = step_stream_pb2.StepStreamResponse()
    for news in gathered:
        update = response.updates.add(number=news.number)
        if news.spec is not None and news.outputs:
            fill_response(update.response, news.spec, news.outputs)
        if news.error is not None:
            update.error.CopyFrom(to_proto(news.error))
    return response


def fill_response(
    response: generate_pb2.GenerateResponse, spec: RequestSpec, outputs: Sequence[RequestOutput]
) -> None:
    """Tell all that gathered for a request.

    Args:
        response: gets it; empty but for the request's id.
        spec: the request.
        outputs: in order, without gaps; never empty.
    """
    for output in outputs:
        if output.is_first:
            response.started.CopyFrom(_started(spec, output))
        if output.token_ids:
            if not response.HasField("delta"):
                response.delta.first_position = output.first_position
            response.delta.token_ids.extend(output.token_ids)
            response.delta.logprobs.extend(map(_logprobs, output.logprobs))
        if output.finish_reason is not None:
            response.finished.CopyFrom(_finished(output, output.finish_reason))


def _started(spec: RequestSpec, output: RequestOutput) -> generate_pb2.Started:
    return generate_pb2.Started(
        sampling=sampling_message(spec.sampling),
        stopping=_stopping_message(spec.stopping),
        cached_prompt_tokens=output.num_cached_tokens,
        queue_ns=_ns(output.queue_s),
    )


def _finished(output: RequestOutput, reason: FinishReason) -> generate_pb2.Finished:
    return generate_pb2.Finished(
        finish_reason=FINISH_REASONS[reason],
        stop_token_id=output.stop_token_id,
        prefill_ns=_ns(output.prefill_s),
        decode_ns=_ns(output.decode_s),
    )


def _logprobs(position: TokenLogprobs) -> generate_pb2.TokenLogprobs:
    return generate_pb2.TokenLogprobs(
        logprob=position.logprob,
        rank=position.rank,
        top_token_ids=[token_id for token_id, _ in position.top],
        top_logprobs=[logprob for _, logprob in position.top],
    )


def sampling_message(sampling: SamplingParams) -> sampling_pb2.SamplingParams:
    """What is used, as the caller may read it; a greedy request has no seed.

    Without the bad words: the engine knows only their ids.
    """
    growth = sampling.length_penalty
    return sampling_pb2.SamplingParams(
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        min_p=sampling.min_p,
        typical_p=sampling.typical_p,
        seed=None if sampling.is_greedy else sampling.seed,
        repetition_penalty=sampling.repetition_penalty,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        length_penalty=None if growth is None else _length_penalty_message(growth),
        logit_bias=dict(sampling.logit_bias),
    )


def _length_penalty_message(growth: LengthPenalty) -> sampling_pb2.LengthPenalty:
    return sampling_pb2.LengthPenalty(
        start_index=growth.start_index, decay_factor=growth.decay_factor
    )


def _stopping_message(stopping: StoppingParams) -> sampling_pb2.StoppingParams:
    limit_s = stopping.time_limit_s
    return sampling_pb2.StoppingParams(
        max_tokens=stopping.max_tokens,
        min_tokens=stopping.min_tokens,
        stop_token_ids=stopping.stop_token_ids,
        ignore_eos=not stopping.eos_token_ids,
        time_limit_ms=None if limit_s is None else round(limit_s * 1e3),
    )


def to_load(
    last: StepOutputs | None, *, since_last_step_s: float, is_draining: bool
) -> info_pb2.GetLoadResponse:
    """The engine's load; all zeros before the first step."""
    response = info_pb2.GetLoadResponse(
        since_last_step_ns=_ns(since_last_step_s), draining=is_draining
    )
    if last is not None:
        load = last.load
        response.num_running = load.num_running
        response.num_waiting = load.num_waiting
        response.num_waiting_tokens = load.num_waiting_tokens
        response.num_free_blocks = load.num_free_blocks
        response.num_used_blocks = load.num_used_blocks
        response.num_cached_blocks = load.num_cached_blocks
        response.num_total_blocks = load.num_total_blocks
        response.num_preemptions = load.num_preemptions
        response.num_prompt_tokens = load.num_prompt_tokens
        response.num_cached_prompt_tokens = load.num_cached_prompt_tokens
        response.num_steps = last.num_steps
        response.num_output_tokens = last.num_output_tokens
    return response


def to_info(
    info: EngineInfo,
    *,
    instance_id: str,
    model: str,
    max_num_waiting: int,
    default_max_tokens: int,
    max_message_bytes: int,
) -> info_pb2.GetEngineInfoResponse:
    """What the engine serves."""
    return info_pb2.GetEngineInfoResponse(
        instance_id=instance_id,
        model=model,
        architecture=info.architecture,
        model_fingerprint=info.model_fingerprint,
        tokenizer_fingerprint=info.tokenizer_fingerprint,
        vocab_size=info.vocab_size,
        max_model_len=info.max_model_len,
        dtype=info.dtype,
        device=info.device,
        runner=info.runner,
        max_num_seqs=info.max_num_seqs,
        max_num_waiting=max_num_waiting,
        default_max_tokens=default_max_tokens,
        default_sampling=sampling_message(info.default_sampling),
        eos_token_ids=info.eos_token_ids,
        block_size=info.block_size,
        num_blocks=info.num_blocks,
        weights_bytes=info.weights_bytes,
        kv_cache_bytes=info.kv_cache_bytes,
        geometry=geometry_message(info),
        load_ns=_ns(info.load_s),
        version=steeple_version(),
        max_message_bytes=max_message_bytes,
    )


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
