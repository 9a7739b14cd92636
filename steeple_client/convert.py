"""From the public replies to the client's values."""

from collections.abc import Sequence
from typing import TypeAlias

from steeple.common.v1 import finish_reason_pb2, tokens_pb2, usage_pb2
from steeple.inference.v1 import chat_pb2, events_pb2, generate_pb2, model_service_pb2
from steeple.inference.v1 import tokenization_service_pb2 as tokenization_pb2
from steeple_client.values import (
    Candidate,
    Event,
    Finished,
    FinishReason,
    Generation,
    Model,
    ModelEngine,
    Started,
    TextDelta,
    Token,
    Usage,
)
from steeple_rpc.message_fields import set_fields
from steeple_rpc.status import from_proto

_REASONS = {
    finish_reason_pb2.FINISH_REASON_EOS: FinishReason.EOS,
    finish_reason_pb2.FINISH_REASON_STOP_STRING: FinishReason.STOP_STRING,
    finish_reason_pb2.FINISH_REASON_STOP_TOKEN: FinishReason.STOP_TOKEN,
    finish_reason_pb2.FINISH_REASON_MAX_TOKENS: FinishReason.MAX_TOKENS,
    finish_reason_pb2.FINISH_REASON_CONTEXT_LENGTH: FinishReason.CONTEXT_LENGTH,
    finish_reason_pb2.FINISH_REASON_TIME_LIMIT: FinishReason.TIME_LIMIT,
    finish_reason_pb2.FINISH_REASON_ABORTED: FinishReason.ABORTED,
}
Streamed: TypeAlias = generate_pb2.GenerateStreamResponse | chat_pb2.ChatStreamResponse


def to_event(response: Streamed) -> Event | None:
    """One streamed message; None for a kind that only later clients know."""
    match response.WhichOneof("event"):
        case "started":
            return _started(response.started)
        case "delta":
            return TextDelta(
                text=response.delta.text,
                num_completion_tokens=response.delta.completion_tokens,
                tokens=_tokens(response.delta.tokens),
            )
        case "finished":
            return _finished(response.finished)
        case "usage":
            return _usage(response.usage)
        case _:
            return None


def from_generate(response: generate_pb2.GenerateResponse) -> Generation:
    """The whole reply."""
    (output,) = response.outputs
    return Generation(
        text=output.text,
        started=_started(response.started),
        finished=_finished(output),
        usage=_usage(response.usage),
        tokens=_tokens(output.tokens),
    )


def from_chat(response: chat_pb2.ChatResponse) -> Generation:
    """The whole reply."""
    (output,) = response.outputs
    return Generation(
        text="".join(part.text for part in output.message.parts),
        started=_started(response.started),
        finished=_finished(output),
        usage=_usage(response.usage),
        tokens=_tokens(output.tokens),
    )


def to_model(message: model_service_pb2.Model) -> Model:
    """A served model."""
    engines = message.engines
    return Model(
        name=message.name,
        architecture=message.architecture,
        max_model_len=message.max_model_len,
        vocab_size=message.vocab_size,
        dtype=message.dtype,
        kv_tokens=sum(engine.kv_tokens for engine in engines),
        max_concurrency=sum(engine.max_concurrency for engine in engines),
        num_engines=len(engines),
        weights_bytes=max((engine.weights_bytes for engine in engines), default=0),
        kv_cache_bytes=sum(engine.kv_cache_bytes for engine in engines),
        engines=tuple(map(_engine, engines)),
    )


def _engine(message: model_service_pb2.ModelEngine) -> ModelEngine:
    return ModelEngine(
        runner=message.runner,
        device=message.device,
        scheduler=message.scheduler,
        load_s=message.load_ns / 1e9,
        weights_bytes=message.weights_bytes,
        kv_cache_bytes=message.kv_cache_bytes,
        kv_tokens=message.kv_tokens,
        max_num_seqs=message.max_num_seqs,
        max_concurrency=message.max_concurrency,
        version=message.version,
    )


def from_tokenize(response: tokenization_pb2.TokenizeResponse) -> list[int]:
    """The ids of the one input.

    Raises:
        ServiceError: the input was refused.
    """
    (result,) = response.results
    if result.HasField("error"):
        raise from_proto(result.error)
    return list(result.tokens.ids)


def from_detokenize(response: tokenization_pb2.DetokenizeResponse) -> str:
    """The text of the one input.

    Raises:
        ServiceError: the input was refused.
    """
    (result,) = response.results
    if result.HasField("error"):
        raise from_proto(result.error)
    return str(result.text)


def _started(message: events_pb2.Started) -> Started:
    return Started(
        request_id=message.request_id,
        model=message.model,
        num_prompt_tokens=message.prompt_tokens,
        sampling=set_fields(message.sampling),
        stopping=set_fields(message.stopping),
        max_tokens=message.stopping.max_tokens,
    )


def _finished(
    message: events_pb2.Finished | generate_pb2.GenerateOutput | chat_pb2.ChatOutput,
) -> Finished:
    stop = message.matched_stop
    kind = stop.WhichOneof("stop")
    return Finished(
        reason=_REASONS.get(message.finish_reason, FinishReason.OTHER),
        stop=None if kind is None else getattr(stop, kind),
    )


def _tokens(messages: Sequence[tokens_pb2.TokenDetail]) -> tuple[Token, ...]:
    return tuple(
        Token(
            token_id=token.id,
            text=token.text,
            logprob=token.logprob if token.HasField("logprob") else None,
            rank=token.rank if token.HasField("rank") else None,
            top=tuple(
                Candidate(token_id=other.id, text=other.text, logprob=other.logprob)
                for other in token.top
            ),
        )
        for token in messages
    )


def _usage(message: usage_pb2.Usage) -> Usage:
    timings = message.timings
    return Usage(
        num_prompt_tokens=message.prompt_tokens,
        num_completion_tokens=message.completion_tokens,
        num_cached_prompt_tokens=message.cached_prompt_tokens,
        queue_s=timings.queue_ns / 1e9,
        prefill_s=timings.prefill_ns / 1e9,
        decode_s=timings.decode_ns / 1e9,
        total_s=timings.total_ns / 1e9,
    )
