"""The contract as people read it: services, messages and enums with their comments."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

from tools import protos

_SEE = re.compile(r"See (\w+\.\w+)\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """Every .proto file of ours.

    Args:
        files: in the order of their paths, services first within a package.
        comments: by full name, as one line per paragraph; what has none is missing. Where one
            only says "See Message.field.", it is that field's.
    """

    files: tuple[FileDescriptorProto, ...]
    comments: Mapping[str, str]

    def files_of(self, package: str) -> tuple[FileDescriptorProto, ...]:
        """The files of one package."""
        return tuple(file for file in self.files if file.package == package)


def read_contract() -> Contract:
    """Compile the .proto files as they are now."""
    with TemporaryDirectory() as folder:
        data = protos.described(Path(folder) / "contract.binpb")
    files = sorted(FileDescriptorSet.FromString(data).file, key=_services_first)
    written = {name: text for file in files for name, text in _comments(file)}
    comments = {name: _followed(name, text, written) for name, text in written.items()}
    return Contract(files=tuple(files), comments=comments)


def messages(file: FileDescriptorProto) -> Iterator[tuple[str, DescriptorProto]]:
    """Every message with its name below the package; a nested one after the one that holds it."""
    for message in file.message_type:
        yield message.name, message
        for nested in message.nested_type:
            if not nested.options.map_entry:
                yield f"{message.name}.{nested.name}", nested


def _services_first(file: FileDescriptorProto) -> tuple[str, bool, str]:
    return file.package, not file.service, file.name


def _comments(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    """Full names with what stands above them."""
    names = dict(_names(file))
    for location in file.source_code_info.location:
        name = names.get(tuple(location.path))
        if name is not None and location.leading_comments:
            yield f"{file.package}.{name}", _paragraphs(location.leading_comments)


def _followed(name: str, text: str, written: Mapping[str, str]) -> str:
    """What a comment says, or what the field says that it refers to (in the same package)."""
    see = _SEE.fullmatch(text)
    package = name.partition(".v1.")[0] + ".v1"
    return text if see is None else written[f"{package}.{see[1]}"]


def _paragraphs(comment: str) -> str:
    """One line for each paragraph."""
    parts = comment.strip().split("\n\n")
    return "\n".join(" ".join(part.split()) for part in parts)


def _names(file: FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    """Where a name stands in the file, in the numbering of descriptor.proto, and the name."""
    for index, message in enumerate(file.message_type):
        yield from _names_in_message((4, index), message.name, message)
    for index, enum in enumerate(file.enum_type):
        yield from _names_in_enum((5, index), enum)
    for index, service in enumerate(file.service):
        yield from _names_in_service((6, index), service)


def _names_in_message(
    path: tuple[int, ...], name: str, message: DescriptorProto
) -> Iterator[tuple[tuple[int, ...], str]]:
    yield path, name
    for index, field in enumerate(message.field):
        yield (*path, 2, index), f"{name}.{field.name}"
    for index, oneof in enumerate(message.oneof_decl):
        yield (*path, 8, index), f"{name}.{oneof.name}"
    for index, nested in enumerate(message.nested_type):
        yield from _names_in_message((*path, 3, index), f"{name}.{nested.name}", nested)


def _names_in_enum(
    path: tuple[int, ...], enum: EnumDescriptorProto
) -> Iterator[tuple[tuple[int, ...], str]]:
    yield path, enum.name
    for index, value in enumerate(enum.value):
        yield (*path, 2, index), f"{enum.name}.{value.name}"


def _names_in_service(
    path: tuple[int, ...], service: ServiceDescriptorProto
) -> Iterator[tuple[tuple[int, ...], str]]:
    yield path, service.name
    for index, method in enumerate(service.method):
        yield (*path, 2, index), f"{service.name}.{method.name}"
