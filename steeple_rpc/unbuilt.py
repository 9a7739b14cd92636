"""The fields of the contract that are not built yet: asking for something there is refused."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.message import Message

from steeple_rpc.errors import Unsupported

# By name, with the value that asks for nothing; None = only unset does.
OUTPUT: Mapping[str, Any] = {
    "n": 1,
    "best_of": 1,
    "beam_width": None,
    "prompt_logprobs": None,
}
REQUEST: Mapping[str, Any] = {
    "guided": None,
    "adapter": None,
    "tools": None,
    "tool_choice": None,
}


def check_unbuilt(request: Message) -> None:
    """Refuse what would be ignored: whoever sets it would take the answer for what it is not.

    Args:
        request: any message with `output`.

    Raises:
        Unsupported: names the field.
    """
    parts: Any = request  # the messages share the field and no base class
    _check(request, REQUEST, "")
    _check(parts.output, OUTPUT, "output.")


def _check(message: Message, unbuilt: Mapping[str, Any], prefix: str) -> None:
    for descriptor, value in message.ListFields():
        name = descriptor.name
        if name in unbuilt and (unbuilt[name] is None or value != unbuilt[name]):
            raise Unsupported(f"{prefix}{name} is not supported yet", field=prefix + name)
