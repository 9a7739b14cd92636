"""From the client's values to the public requests."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from difflib import get_close_matches
from typing import Any, TypeAlias, TypeVar

from steeple.common.v1 import chat_pb2 as common_chat_pb2
from steeple.common.v1 import sampling_pb2, tokens_pb2
from steeple.inference.v1 import chat_pb2, generate_pb2, load_service_pb2
from steeple.inference.v1 import tokenization_service_pb2 as tokenization_pb2
from steeple_client.options import ChatOptions, GenerateOptions
from steeple_client.values import LengthPenalty, Message, user
from steeple_rpc.errors import InvalidRequest

Prompt: TypeAlias = str | Sequence[int]
"""A text, or token ids that are used as they are."""
Conversation: TypeAlias = str | Sequence[Message]
"""Turns, oldest first; a text is the one turn of a user."""
Generating = TypeVar("Generating", generate_pb2.GenerateRequest, generate_pb2.GenerateStreamRequest)
Chatting = TypeVar("Chatting", chat_pb2.ChatRequest, chat_pb2.ChatStreamRequest)

_LONGEST_INTERVAL_S = 1e6
"""More than a server takes, and a number of its field."""
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
_CHAT = ("continue_final_message", "template_args")
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


def chat_request(kind: type[Chatting], messages: Conversation, options: ChatOptions) -> Chatting:
    """A request to answer a conversation.

    Raises:
        InvalidRequest: a value cannot be sent.
        TypeError: there is no such option, or a message is none.
    """
    with _told_if_unsendable():
        return kind(messages=_turns(messages), **_chat_fields(options), **_fields(options, *_CHAT))


def tokenize_request(
    text: Conversation, model: str, *, add_special_tokens: bool
) -> tokenization_pb2.TokenizeRequest:
    """A request for the ids of a text, or of a conversation.

    Raises:
        InvalidRequest: a value cannot be sent.
        TypeError: a message is none.
    """
    with _told_if_unsendable():
        if isinstance(text, str):
            one = tokenization_pb2.TokenizeInput(text=text, add_special_tokens=add_special_tokens)
        else:
            chat = tokenization_pb2.Conversation(messages=_turns(text))
            one = tokenization_pb2.TokenizeInput(chat=chat)
        return tokenization_pb2.TokenizeRequest(model=model or None, inputs=[one])


def detokenize_request(
    token_ids: Sequence[int], model: str, *, skip_special_tokens: bool
) -> tokenization_pb2.DetokenizeRequest:
    """A request for the text of ids.

    Raises:
        InvalidRequest: an id cannot be sent.
    """
    with _told_if_unsendable():
        return tokenization_pb2.DetokenizeRequest(
            model=model or None,
            inputs=[tokens_pb2.TokenIds(ids=token_ids)],
            skip_special_tokens=skip_special_tokens,
        )


def watch_load_request(interval_s: float) -> load_service_pb2.WatchLoadRequest:
    """A request to be told the load at an interval in seconds; the server knows its bounds.

    Raises:
        InvalidRequest: it cannot be sent.
    """
    with _told_if_unsendable():
        milliseconds = round(min(interval_s, _LONGEST_INTERVAL_S) * 1e3)
        return load_service_pb2.WatchLoadRequest(interval_ms=milliseconds)


def _turns(messages: Conversation) -> list[common_chat_pb2.ChatMessage]:
    turns = [user(messages)] if isinstance(messages, str) else messages
    return [_turn(place, message) for place, message in enumerate(turns)]


def _turn(place: int, message: Message) -> common_chat_pb2.ChatMessage:
    if not isinstance(message, Message):
        raise TypeError("messages are made by user(), assistant() and system()")
    if message.role not in _ROLES:
        raise InvalidRequest(
            f"role must be one of {', '.join(_ROLES)}",
            reason="BAD_ROLE",
            field=f"messages[{place}].role",
        )
    part = common_chat_pb2.ContentPart(text=message.text)
    return common_chat_pb2.ChatMessage(role=_ROLES[message.role], parts=[part])


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
def _chat_fields(options: ChatOptions) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if "continue_final_message" in options:
        fields["continue_final_message"] = options["continue_final_message"]
    if "template_args" in options:
        arguments = options["template_args"]
        fields["template_args"] = {name: json.dumps(value) for name, value in arguments.items()}
    return fields


def _fields(options: GenerateOptions, *others: str) -> dict[str, Any]:
    _check_known(set(options), {*_SAMPLING, *_STOPPING, *_OUTPUT, *_REQUEST, *_CLIENT, *others})
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


def _check_known(given: set[str], known: set[str]) -> None:
    told = []
    for name in sorted(given - known):
        close = get_close_matches(name, known, n=1)
        told.append(f"{name} (did you mean {close[0]}?)" if close else name)
    if told:
        raise TypeError(f"unknown options: {', '.join(told)}")
