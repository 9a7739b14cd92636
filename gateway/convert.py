"""Between the public messages and the gateway's own values."""

import secrets
from collections.abc import Iterable
from typing import TypeAlias

from google.protobuf.message import Message

from gateway.values import (
    ChatMessage,
    ChatPrompt,
    Finished,
    GenerationRequest,
    LogprobsWanted,
    Options,
    Prompt,
    Started,
    TextDelta,
    TextPrompt,
    Token,
    TokenPrompt,
    ToolCall,
    Usage,
)
from steeple.common.v1 import (
    chat_pb2 as common_chat_pb2,
)
from steeple.common.v1 import (
    finish_reason_pb2,
    sampling_pb2,
    tokens_pb2,
    usage_pb2,
)
from steeple.inference.v1 import chat_pb2, events_pb2, generate_pb2
from steeple_rpc.errors import InvalidRequest, Unsupported
from steeple_rpc.message_fields import set_fields
from steeple_rpc.parameters import check_request

Generating: TypeAlias = generate_pb2.GenerateRequest | generate_pb2.GenerateStreamRequest
Chatting: TypeAlias = chat_pb2.ChatRequest | chat_pb2.ChatStreamRequest

_ROLES = {
    common_chat_pb2.ROLE_SYSTEM: "system",
    common_chat_pb2.ROLE_USER: "user",
    common_chat_pb2.ROLE_ASSISTANT: "assistant",
    common_chat_pb2.ROLE_TOOL: "tool",
}


def from_generate(message: Generating) -> GenerationRequest:
    """A checked prompt request.

    Raises:
        InvalidRequest, Unsupported: what is wrong, with field, limit and value.
    """
    check_request(message)
    return _request(message, _prompt(message))


def from_chat(message: Chatting) -> GenerationRequest:
    """A checked conversation.

    Raises:
        InvalidRequest, Unsupported: what is wrong, with field, limit and value.
    """
    check_request(message)
    prompt = ChatPrompt(
        messages=from_messages(message.messages),
        template_args=dict(message.template_args),
        continue_final_message=message.continue_final_message,
    )
    return _request(message, prompt)


def from_messages(messages: Iterable[common_chat_pb2.ChatMessage]) -> tuple[ChatMessage, ...]:
    """The turns of a conversation."""
    return tuple(_chat_message(index, message) for index, message in enumerate(messages))


def _prompt(message: Generating) -> Prompt:
    match message.WhichOneof("prompt"):
        case "text":
            return TextPrompt(message.text)
        case "token_ids":
            return TokenPrompt(tuple(message.token_ids.ids))
        case _:
            raise InvalidRequest("prompt is required", reason="EMPTY_PROMPT", field="prompt")


def _request(message: Generating | Chatting, prompt: Prompt) -> GenerationRequest:
    stopping = message.stopping
    has_limit = message.HasField("truncate_prompt_tokens")
    skips = message.output.skip_special_tokens
    return GenerationRequest(
        request_id=message.request_id if message.HasField("request_id") else secrets.token_hex(16),
        model=message.model,
        prompt=prompt,
        sampling=_with_seed(_without(message.sampling, "bad_words")),
        stopping=_without(stopping, "stop"),
        bad_words=tuple(message.sampling.bad_words),
        stop=tuple(stopping.stop),
        max_tokens=stopping.max_tokens if stopping.HasField("max_tokens") else None,
        min_tokens=stopping.min_tokens,
        truncate_prompt_tokens=message.truncate_prompt_tokens if has_limit else None,
        skip_special_tokens=skips if message.output.HasField("skip_special_tokens") else True,
        include_stop_in_output=stopping.include_stop_in_output,
        token_details=message.output.token_details,
        logprobs=_logprobs(message.output),
        priority=message.priority,
        cache_salt=message.cache_salt if message.HasField("cache_salt") else None,
    )


def _without(message: Message, name: str) -> dict[str, object]:
    """What is set in a message but for the one field that is text and none of the engine's."""
    return {field: value for field, value in set_fields(message).items() if field != name}


def _logprobs(output: sampling_pb2.OutputParams) -> LogprobsWanted | None:
    if not output.HasField("logprobs") and not output.logprob_token_ids:
        return None
    return LogprobsWanted(num_top=output.logprobs, token_ids=tuple(output.logprob_token_ids))


def _with_seed(sampling: dict[str, object]) -> Options:
    """A missing seed is drawn here, once, so that every engine that takes over knows it."""
    return {"seed": secrets.randbits(64), **sampling}


def _chat_message(index: int, message: common_chat_pb2.ChatMessage) -> ChatMessage:
    if message.role not in _ROLES:
        field = f"messages[{index}].role"
        raise InvalidRequest(f"{field} is required", reason="BAD_ROLE", field=field)
    for number, part in enumerate(message.parts):
        if part.WhichOneof("content") == "image":
            field = f"messages[{index}].parts[{number}].image"
            raise Unsupported(f"{field} is not supported yet", field=field)
    return ChatMessage(
        role=_ROLES[message.role],
        parts=tuple(part.text for part in message.parts),
        name=message.name if message.HasField("name") else None,
        tool_calls=tuple(
            ToolCall(call_id=call.id, name=call.name, arguments_json=call.arguments_json)
            for call in message.tool_calls
        ),
        tool_call_id=message.tool_call_id if message.HasField("tool_call_id") else None,
        reasoning=message.reasoning if message.HasField("reasoning") else None,
    )


def started_message(event: Started) -> events_pb2.Started:
    """`event` on the wire."""
    return events_pb2.Started(
        request_id=event.request_id,
        model=event.model,
        prompt_tokens=event.num_prompt_tokens,
        sampling=sampling_pb2.SamplingParams(**event.sampling),  # type: ignore[arg-type] # by name
        stopping=sampling_pb2.StoppingParams(**event.stopping),  # type: ignore[arg-type] # by name
    )


def delta_message(event: TextDelta) -> events_pb2.TextDelta:
    """`event` on the wire."""
    return events_pb2.TextDelta(
        text=event.text,
        completion_tokens=event.num_completion_tokens,
        tokens=token_messages(event.tokens),
    )


def token_messages(tokens: tuple[Token, ...]) -> list[tokens_pb2.TokenDetail]:
    """Tokens on the wire."""
    return [
        tokens_pb2.TokenDetail(
            id=token.token_id,
            text=token.text,
            logprob=token.logprob,
            rank=token.rank,
            top=[
                tokens_pb2.TokenLogprob(id=other.token_id, text=other.text, logprob=other.logprob)
                for other in token.top
            ],
        )
        for token in tokens
    ]


def finish_reason_number(event: Finished) -> finish_reason_pb2.FinishReason.ValueType:
    """The reason on the wire."""
    return finish_reason_pb2.FinishReason.Value(f"FINISH_REASON_{event.reason.name}")


def matched_stop(event: Finished) -> finish_reason_pb2.MatchedStop | None:
    """What matched, on the wire; None if nothing did."""
    if event.stop_text is not None:
        return finish_reason_pb2.MatchedStop(text=event.stop_text)
    if event.stop_token_id is not None:
        return finish_reason_pb2.MatchedStop(token_id=event.stop_token_id)
    return None


def finished_message(event: Finished) -> events_pb2.Finished:
    """`event` on the wire."""
    return events_pb2.Finished(
        finish_reason=finish_reason_number(event), matched_stop=matched_stop(event)
    )


def usage_message(event: Usage) -> usage_pb2.Usage:
    """`event` on the wire."""
    return usage_pb2.Usage(
        prompt_tokens=event.num_prompt_tokens,
        completion_tokens=event.num_completion_tokens,
        cached_prompt_tokens=event.num_cached_prompt_tokens,
        timings=usage_pb2.Timings(
            tokenize_ns=event.tokenize_ns,
            queue_ns=event.queue_ns,
            prefill_ns=event.prefill_ns,
            decode_ns=event.decode_ns,
            total_ns=event.total_ns,
        ),
    )
