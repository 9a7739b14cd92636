"""From the client's values to the public requests."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

from steeple.common.v1 import chat_pb2 as common_chat_pb2
from steeple.common.v1 import tokens_pb2
from steeple.inference.v1 import chat_pb2, generate_pb2, load_service_pb2
from steeple.inference.v1 import tokenization_service_pb2 as tokenization_pb2
from steeple_client.option_fields import filled, option_fields
from steeple_client.options import ChatOptions, GenerateOptions
from steeple_client.values import Message, user
from steeple_rpc.errors import InvalidRequest

Prompt: TypeAlias = str | Sequence[int]
"""A text, or token ids that are used as they are."""
Conversation: TypeAlias = str | Message | Sequence[Message]
"""Turns, oldest first; or the only one, which as a text is a user's."""
Generating = TypeVar("Generating", generate_pb2.GenerateRequest, generate_pb2.GenerateStreamRequest)
Chatting = TypeVar("Chatting", chat_pb2.ChatRequest, chat_pb2.ChatStreamRequest)

_LONGEST_INTERVAL_S = 1e6
"""More than a server takes, and a number of its field."""
_CHAT = ("continue_final_message", "template_args")
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
    fields = option_fields(options)
    if isinstance(prompt, str):
        return filled(kind, {"text": prompt, **fields})
    return filled(kind, {"token_ids": _token_ids(prompt), **fields})


def chat_request(kind: type[Chatting], messages: Conversation, options: ChatOptions) -> Chatting:
    """A request to answer a conversation.

    Raises:
        InvalidRequest: a value cannot be sent.
        TypeError: there is no such option, or a message is none.
    """
    with _told_if_unsendable():
        turns = _turns(messages)
    fields = option_fields(options, *_CHAT)
    return filled(kind, {"messages": turns, **_chat_fields(options), **fields})


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
            inputs=[_token_ids(token_ids)],
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


def _token_ids(ids: Sequence[int]) -> tokens_pb2.TokenIds:
    try:
        return filled(tokens_pb2.TokenIds, {"ids": ids}, "token_ids.")
    except TypeError:
        raise TypeError("a prompt is a text, or token ids") from None


def _turns(messages: Conversation) -> list[common_chat_pb2.ChatMessage]:
    turns: Sequence[Message]
    match messages:
        case str():
            turns = [user(messages)]
        case Message():
            turns = [messages]
        case _:
            turns = messages
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


def _chat_fields(options: ChatOptions) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if "continue_final_message" in options:
        fields["continue_final_message"] = options["continue_final_message"]
    if "template_args" in options:
        arguments = options["template_args"]
        fields["template_args"] = {name: json.dumps(value) for name, value in arguments.items()}
    return fields
