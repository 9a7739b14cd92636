"""Between the client's values and the public messages."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, TypeAlias, TypeVar

from steeple.common.v1 import chat_pb2 as common_chat_pb2
from steeple.common.v1 import finish_reason_pb2, sampling_pb2, tokens_pb2, usage_pb2
from steeple.inference.v1 import chat_pb2, events_pb2, generate_pb2, model_service_pb2
from steeple_client.options import GenerateOptions
from steeple_client.values import (
    Candidate,
    Event,
    Finished,
    FinishReason,
    Generation,
    LengthPenalty,
    Message,
    Model,
    ModelEngine,
    Started,
    TextDelta,
    Token,
    Usage,
)
from steeple_rpc.errors import EngineFault, InvalidRequest
from steeple_rpc.message_fields import set_fields

Streamed: TypeAlias = generate_pb2.GenerateStreamResponse | chat_pb2.ChatStreamResponse
Prompt: TypeAlias = str | Sequence[int]
Generating = TypeVar("Generating", generate_pb2.GenerateRequest, generate_pb2.GenerateStreamRequest)
Chatting = TypeVar("Chatting", chat_pb2.ChatRequest, chat_pb2.ChatStreamRequest)

_SAMPLING = (
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "seed",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "length_penalty",
    "logit_bias",
    "bad_words",
)
_STOPPING = (
    "max_tokens",
    "min_tokens",
    "stop",
    "stop_token_ids",
    "ignore_eos",
    "include_stop_in_output",
    "time_limit_ms",
)
_OUTPUT = ("skip_special_tokens", "token_details", "logprobs", "logprob_token_ids")
_REQUEST = ("model", "request_id", "truncate_prompt_tokens", "priority", "cache_salt")
_CLIENT = ("timeout_s",)
_ROLES = {
    "system": common_chat_pb2.ROLE_SYSTEM,
    "user": common_chat_pb2.ROLE_USER,
    "assistant": common_chat_pb2.ROLE_ASSISTANT,
    "tool": common_chat_pb2.ROLE_TOOL,
}


def generate_request(
    kind: type[Generating], prompt: Prompt, options: GenerateOptions
) -> Generating:
    """A request to continue a text or token ids.

    Raises:
        InvalidRequest: a value cannot be sent.
        TypeError: there is no such option.
    """
    with _told_if_unsendable():
        if isinstance(prompt, str):
            return kind(text=prompt, **_fields(options))
        return kind(token_ids=tokens_pb2.TokenIds(ids=prompt), **_fields(options))


def chat_request(
    kind: type[Chatting], messages: Sequence[Message], options: GenerateOptions
) -> Chatting:
    """A request to answer a conversation.

    Raises:
        InvalidRequest: a value cannot be sent.
        TypeError: there is no such option.
    """
    with _told_if_unsendable():
        turns = [
            common_chat_pb2.ChatMessage(
                role=_ROLES[message.role], parts=[common_chat_pb2.ContentPart(text=message.text)]
            )
            for message in messages
        ]
        return kind(messages=turns, **_fields(options))


@contextmanager
def _told_if_unsendable() -> Iterator[None]:
    """What no message can hold is refused as the server would, had it seen it."""
    try:
        yield
    except UnicodeError:
        raise InvalidRequest("a text is not valid Unicode", reason="BAD_TEXT") from None
    except ValueError as error:
        raise InvalidRequest(
            f"a number does not fit its field: {error}", reason="OUT_OF_RANGE"
        ) from None


# The messages' constructors take fields by name; their stubs cannot say so for a mapping.
def _fields(options: GenerateOptions) -> dict[str, Any]:
    unknown = set(options) - {*_SAMPLING, *_STOPPING, *_OUTPUT, *_REQUEST, *_CLIENT}
    if unknown:
        raise TypeError(f"unknown options: {', '.join(sorted(unknown))}")
    given: dict[str, Any] = {name: _sendable(value) for name, value in options.items()}
    for name in ("stop", "bad_words"):
        if isinstance(given.get(name), str):
            raise TypeError(
                f"{name} is a list of texts; a single text would be taken letter by letter"
            )

    def chosen(names: Sequence[str]) -> dict[str, Any]:
        return {name: given[name] for name in names if name in given}

    return {
        **chosen(_REQUEST),
        "sampling": sampling_pb2.SamplingParams(**chosen(_SAMPLING)),
        "stopping": sampling_pb2.StoppingParams(**chosen(_STOPPING)),
        "output": sampling_pb2.OutputParams(**chosen(_OUTPUT)),
    }


def _sendable(value: object) -> object:
    """What a message's constructor takes."""
    return asdict(value) if isinstance(value, LengthPenalty) else value


def to_event(response: Streamed) -> Event:
    """One streamed message.

    Raises:
        EngineFault: it is of a kind that this client does not know.
    """
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
            raise EngineFault("the server sent an event that this client does not know")


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
    name = finish_reason_pb2.FinishReason.Name(message.finish_reason)
    stop = message.matched_stop
    kind = stop.WhichOneof("stop")
    return Finished(
        reason=FinishReason[name.removeprefix("FINISH_REASON_")],
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
