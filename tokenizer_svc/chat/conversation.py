"""A conversation as values, and as the variables that chat templates know."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from steeple_rpc.errors import InvalidRequest

# JSON values of callers: any shape.
Json = Any
TextMap = Callable[[str], str]

ALLOWED_ARGS = frozenset(
    {
        "add_vision_id",
        "available_tools",
        "builtin_tools",
        "citations",
        "controls",
        "custom_tools",
        "date_string",
        "documents",
        "enable_thinking",
        "hallucinations",
        "length",
        "preserve_thinking",
        "reasoning_effort",
        "thinking",
        "thinking_budget",
        "tools_in_user_message",
    }
)
"""Template variables that a caller may set; all others are the service's own."""
MAX_ARGS_CHARS = 16 << 10
MAX_JSON_CHARS = 1 << 20


class Role(Enum):
    """Who speaks. Values are the names that templates use."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """The assistant asking for a function."""

    id: str
    name: str
    arguments: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatMessage:
    """One turn."""

    role: Role
    content: str
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    reasoning: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function that the model may ask for."""

    name: str
    description: str
    parameters: Mapping[str, Json]
    """A JSON schema object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """A conversation to be rendered."""

    messages: tuple[ChatMessage, ...]
    tools: tuple[Tool, ...] = ()
    template_args: Mapping[str, Json]
    continue_final_message: bool = False

    def __post_init__(self) -> None:
        if not self.messages:
            raise InvalidRequest("a conversation needs a message", field="messages")
        for name in self.template_args:
            if name not in ALLOWED_ARGS:
                raise InvalidRequest(
                    "this is not a template variable that a request may set",
                    reason="TEMPLATE_ARG_NOT_ALLOWED",
                    field=f"template_args.{name}"[:128],
                )
        if self.continue_final_message and self.messages[-1].role is not Role.ASSISTANT:
            raise InvalidRequest(
                "only an assistant's message can be continued, and the last one is not",
                field="continue_final_message",
            )


def parse_json(text: str, *, field: str) -> Json:
    """Read a caller's JSON strictly.

    Raises:
        InvalidRequest: it is none, is too long or too deep; names `field`.
    """
    if len(text) > MAX_JSON_CHARS:
        raise InvalidRequest(
            f"the JSON has {len(text)} characters; at most {MAX_JSON_CHARS}", field=field
        )
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("the value is not valid JSON", field=field) from error


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def parse_json_object(text: str, *, field: str) -> dict[str, Json]:
    """Read a caller's JSON object; the empty text is the empty object.

    Raises:
        InvalidRequest: it is not a JSON object; names `field`.
    """
    value = parse_json(text, field=field) if text else {}
    if not isinstance(value, dict):
        raise InvalidRequest("the value is not a JSON object", field=field)
    return value


def template_variables(chat: Chat, text: TextMap) -> dict[str, Json]:
    """The variables of a conversation, as the Hugging Face templates expect them.

    Args:
        chat: the conversation.
        text: applied to every string that comes from the caller, JSON keys included.
    """
    variables: dict[str, Json] = {
        "messages": [_message(message, text) for message in chat.messages],
        "tools": [_tool(tool, text) for tool in chat.tools] or None,
        "documents": None,
        "add_generation_prompt": not chat.continue_final_message,
    }
    args = {name: mapped(value, text) for name, value in chat.template_args.items()}
    return variables | args


def caller_texts(chat: Chat) -> Sequence[str]:
    """Every string of the conversation that its caller wrote."""
    texts: list[str] = []

    def collect(text: str) -> str:
        texts.append(text)
        return text

    template_variables(chat, collect)
    return texts


def mapped(value: Json, text: TextMap) -> Json:
    """A JSON value with `text` applied to all its strings."""
    match value:
        case str():
            return text(value)
        case list():
            return [mapped(item, text) for item in value]
        case dict():
            return {text(key): mapped(item, text) for key, item in value.items()}
    return value


def _message(message: ChatMessage, text: TextMap) -> dict[str, Json]:
    variables: dict[str, Json] = {"role": message.role.value, "content": text(message.content)}
    if message.name is not None:
        variables["name"] = text(message.name)
    if message.tool_calls:
        variables["tool_calls"] = [_tool_call(call, text) for call in message.tool_calls]
    if message.tool_call_id is not None:
        variables["tool_call_id"] = text(message.tool_call_id)
    if message.reasoning is not None:
        # Templates disagree about the name.
        names = ("reasoning_content", "reasoning", "thinking")
        variables |= dict.fromkeys(names, text(message.reasoning))
    return variables


def _tool_call(call: ToolCall, text: TextMap) -> dict[str, Json]:
    function = {"name": text(call.name), "arguments": mapped(dict(call.arguments), text)}
    return {"id": text(call.id), "type": "function", "function": function}


def _tool(tool: Tool, text: TextMap) -> dict[str, Json]:
    function = {
        "name": text(tool.name),
        "description": text(tool.description),
        "parameters": mapped(dict(tool.parameters), text),
    }
    return {"type": "function", "function": function}
