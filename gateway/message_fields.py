"""Parameter messages of the contract as the gateway's own options."""

from google.protobuf.message import Message


def set_fields(message: Message) -> dict[str, object]:
    """The fields that are set, by name."""
    return {field.name: value for field, value in message.ListFields()}
