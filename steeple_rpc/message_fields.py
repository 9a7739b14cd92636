"""Messages of the contract as plain values that do not change with them."""

from typing import Any

from google.protobuf.message import Message


def set_fields(message: Message) -> dict[str, object]:
    """The fields that are set, by name: numbers, texts, tuples and dicts.

    The same mapping makes the message again.
    """
    return {field.name: _plain(value) for field, value in message.ListFields()}


# The containers of the generated code have no common base.
def _plain(value: Any) -> object:
    """A value that does not change with the message, and does not keep it alive."""
    if isinstance(value, Message):
        return set_fields(value)
    if hasattr(value, "items"):
        return dict(value)
    return value if isinstance(value, (str, bytes, int, float)) else tuple(value)
