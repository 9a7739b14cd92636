"""Writes docs/api.md and docs/internal-api.md from the comments of the contract.

`python -m tools.api_reference` after a change to a .proto. Needs grpcio-tools (the `dev` extra).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

from tools.contract import Contract, messages, read_contract

DOCS = Path(__file__).resolve().parents[1] / "docs"
_HTTP = annotations_pb2.http
_SENTENCE = re.compile(r"(?<=[.)])\s+(?=[A-Z0-9])")
_LIMIT = re.compile(r"(Range|Default|Unset|Required|At most|At least|Values)\b.*")
_TYPE_NAMES = {
    number: name.removeprefix("TYPE_").lower() for name, number in FieldDescriptorProto.Type.items()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of the reference."""

    file: str
    title: str
    about: str
    packages: Sequence[str]
    first: Sequence[str] = ()
    """Files to begin their package with; the others follow, those with services first."""

    def files(self, contract: Contract, package: str) -> Sequence[FileDescriptorProto]:
        """The files of one of its packages, in the page's order."""
        return sorted(contract.files_of(package), key=lambda file: self._rank(file.name))

    def _rank(self, name: str) -> int:
        stem = PurePosixPath(name).stem
        return self.first.index(stem) if stem in self.first else len(self.first)

    def heading(self, package: str, name: str) -> str:
        """What a message is called: with its package where the page might have two of a name."""
        return name if "steeple.inference.v1" in self.packages else f"{_short(package)}.{name}"


PUBLIC = Page(
    file="api.md",
    title="API reference",
    about="What the gateway serves. Every call takes plain protobuf over gRPC; the HTTP paths are"
    " for a transcoder in front of it. What the parameters do together is told in"
    " [parameters.md](parameters.md), errors and deadlines in [grpc.md](grpc.md).",
    packages=("steeple.inference.v1", "steeple.common.v1"),
    first=(
        "inference_service",
        "generate",
        "chat",
        "events",
        "model_service",
        "tokenization_service",
    ),
)
INTERNAL = Page(
    file="internal-api.md",
    title="Between the services",
    about="What the gateway asks of the tokenizer service and the engine service. Callers need"
    " nothing of it; who writes a runner, a gateway or a test does.",
    packages=("steeple.tokenizer.v1", "steeple.engine.v1"),
)


class Reference:
    """The text of the pages.

    Args:
        contract: what they tell.
    """

    def __init__(self, contract: Contract) -> None:
        self._contract = contract

    def page(self, page: Page) -> str:
        """One whole page."""
        lines = [
            "<!-- written by tools/api_reference.py from the comments in protos/ -->",
            "",
            f"# {page.title}",
            "",
            page.about,
            "",
        ]
        for package in page.packages:
            lines += [f"## {package}", ""]
            for file in page.files(self._contract, package):
                lines += self._file(page, file)
        return "\n".join(lines).rstrip("\n") + "\n"

    def _file(self, page: Page, file: FileDescriptorProto) -> Iterator[str]:
        for service in file.service:
            yield from self._service(page, file.package, service)
        for name, message in messages(file):
            yield from self._message(page, file.package, name, message)
        for enum in file.enum_type:
            yield from self._enum(page, file.package, enum)

    def _service(self, page: Page, package: str, service: ServiceDescriptorProto) -> Iterator[str]:
        yield from self._head(page, package, service.name)
        rows = [
            [
                f"`{method.name}`",
                self._ends(method),
                self._about(f"{package}.{service.name}.{method.name}"),
                _http(method),
            ]
            for method in service.method
        ]
        yield from _table(["RPC", "Takes and replies", "What it does", "HTTP"], rows)

    def _ends(self, method: MethodDescriptorProto) -> str:
        """What goes in, and what comes back; `stream` where that is more than one message."""
        takes = ("stream " if method.client_streaming else "") + self._link(method.input_type)
        replies = ("stream " if method.server_streaming else "") + self._link(method.output_type)
        return f"{takes} → {replies}"

    def _message(
        self, page: Page, package: str, name: str, message: DescriptorProto
    ) -> Iterator[str]:
        yield from self._head(page, package, name)
        for oneof in message.oneof_decl:
            about = self._about(f"{package}.{name}.{oneof.name}")
            if about:
                yield from (f"`{oneof.name}`: {about}", "")
        rows = [self._field(f"{package}.{name}", message, field) for field in message.field]
        if rows:
            yield from _table(["Field", "Type", "What it is", "Limits and default"], rows)
        else:
            yield from ("It has no fields.", "")

    def _field(
        self, owner: str, message: DescriptorProto, field: FieldDescriptorProto
    ) -> list[str]:
        comment = self._about(f"{owner}.{field.name}") or self._first_sentence(field.type_name)
        meaning, limits = _split(comment)
        return [f"`{field.name}`", self._type(message, field), meaning, limits]

    def _first_sentence(self, type_name: str) -> str:
        """What the field's own message says of itself, where the field says nothing."""
        return _SENTENCE.split(self._about(type_name.lstrip(".")))[0]

    def _enum(self, page: Page, package: str, enum: EnumDescriptorProto) -> Iterator[str]:
        yield from self._head(page, package, enum.name)
        rows = [
            [
                f"`{value.name}`",
                str(value.number),
                self._about(f"{package}.{enum.name}.{value.name}"),
            ]
            for value in enum.value
        ]
        yield from _table(["Value", "Number", "What it means"], rows)

    def _head(self, page: Page, package: str, name: str) -> Iterator[str]:
        yield from (f"### {page.heading(package, name)}", "")
        about = self._about(f"{package}.{name}") or self._role(f".{package}.{name}")
        for paragraph in about.splitlines():
            yield from (paragraph, "")

    def _role(self, type_name: str) -> str:
        """What a message is for that says nothing of itself: the call it belongs to."""
        for file in self._contract.files:
            for method in (method for service in file.service for method in service.method):
                if method.input_type == type_name:
                    return f"What `{method.name}` takes."
                if method.output_type == type_name:
                    return f"What `{method.name}` replies."
        return ""

    def _about(self, full_name: str) -> str:
        return self._contract.comments.get(full_name, "")

    def _type(self, message: DescriptorProto, field: FieldDescriptorProto) -> str:
        entry = _map_entry(message, field)
        if entry is not None:
            key, value = (self._plain_type(part) for part in entry.field)
            return f"map of {key} to {value}"
        if field.HasField("oneof_index") and not field.proto3_optional:
            return (
                f"{self._plain_type(field)}, one of `{message.oneof_decl[field.oneof_index].name}`"
            )
        label = "optional " if field.proto3_optional else ""
        if field.label == FieldDescriptorProto.LABEL_REPEATED:
            label = "repeated "
        return label + self._plain_type(field)

    def _plain_type(self, field: FieldDescriptorProto) -> str:
        return self._link(field.type_name) if field.type_name else _TYPE_NAMES[field.type]

    def _link(self, type_name: str) -> str:
        """A name that leads to its heading, on whichever page that is."""
        full_name = type_name.lstrip(".")
        for page in (PUBLIC, INTERNAL):
            for package in page.packages:
                if full_name.startswith(f"{package}."):
                    name = full_name.removeprefix(f"{package}.")
                    anchor = page.heading(package, name).replace(".", "").lower()
                    return f"[{name}]({page.file}#{anchor})"
        return f"`{full_name}`"


def _short(package: str) -> str:
    return package.removeprefix("steeple.").removesuffix(".v1")


def _http(method: MethodDescriptorProto) -> str:
    """The path of a transcoder in front; empty where there is none."""
    rule = method.options.Extensions[_HTTP]
    verb = rule.WhichOneof("pattern")
    return f"`{verb.upper()} {getattr(rule, verb)}`" if verb else ""


def _map_entry(message: DescriptorProto, field: FieldDescriptorProto) -> DescriptorProto | None:
    entries = (nested for nested in message.nested_type if nested.options.map_entry)
    return next((e for e in entries if field.type_name.endswith(f".{e.name}")), None)


def _split(comment: str) -> tuple[str, str]:
    """What a field is, and what bounds it."""
    sentences = _SENTENCE.split(comment.replace("\n", " "))
    limits = [sentence for sentence in sentences if _LIMIT.match(sentence)]
    return " ".join(s for s in sentences if s not in limits), " ".join(limits)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table without the columns that say nothing."""
    shown = [index for index in range(len(head)) if any(row[index] for row in rows)]
    yield _row(head[index] for index in shown)
    yield _row("---" for _ in shown)
    yield from (_row(row[index] for index in shown) for row in rows)
    yield ""


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def pages() -> dict[Path, str]:
    """Every page of the reference, as it should be."""
    reference = Reference(read_contract())
    return {DOCS / page.file: reference.page(page) for page in (PUBLIC, INTERNAL)}


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
