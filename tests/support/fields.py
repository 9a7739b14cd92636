"""Every field that a request can set, read from the contract's descriptors."""

from collections.abc import Collection, Iterator

from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor


def request_types(*files: FileDescriptor) -> dict[str, Descriptor]:
    """Every message that the services of some files take, by its name."""
    return {
        method.input_type.name: method.input_type
        for file in files
        for service in file.services_by_name.values()
        for method in service.methods
    }


def field_paths(message: Descriptor, whole: Collection[str], above: str = "") -> Iterator[str]:
    """Every field that can be set, by dotted path; a list of messages has a path of its own.

    Args:
        message: what is asked.
        whole: fields below which nothing matters.
        above: the path of the message itself, with a dot.
    """
    for field in message.fields:
        path = above + field.name
        inner = _inner(field)
        if inner is None or path in whole:
            yield path
        else:
            if field.is_repeated:
                yield path
            yield from field_paths(inner, whole, f"{path}.")


def _inner(field: FieldDescriptor) -> Descriptor | None:
    """The message that a field holds; a map is a value like any other."""
    message = field.message_type
    return None if message is None or message.GetOptions().map_entry else message
