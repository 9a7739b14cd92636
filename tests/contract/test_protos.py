"""The contract keeps its form, stays compatible, and the code made from it is fresh.

`protos/baseline.binpb` is the contract that callers have. `make protos-baseline` renews it: do so
when a version is released, or when a break is meant and the changelog tells it.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from steeple.common.v1 import sampling_pb2
from steeple.inference.v1 import chat_pb2, generate_pb2

ROOT = Path(__file__).resolve().parents[2]
PROTOS = ROOT / "protos"
BUF = Path(sys.executable).parent / "buf"


def buf(*arguments: str, at: Path = PROTOS) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: PLW1510 - the caller looks at the status
        [BUF, *arguments], cwd=at, capture_output=True, text=True, timeout=60
    )


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tools_protos", ROOT / "tools" / "protos.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def generated(root: Path) -> dict[str, bytes]:
    """The files of a tree of generated code, by path: Python, and the descriptor set."""
    files = (
        path for kind in ("*.py", "*.pyi", "*.binpb") for path in (root / "steeple").rglob(kind)
    )
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def kind(field: FieldDescriptor) -> object:
    """What a field holds; a map by what it maps, for each has an entry type of its own."""
    message = field.message_type
    if message is not None:
        return shape(message) if message.GetOptions().map_entry else message.full_name
    return field.enum_type.full_name if field.enum_type is not None else field.type


def shape(message: Descriptor) -> dict[str, tuple[object, ...]]:
    """What makes two messages the same on the wire and in JSON."""
    return {
        field.name: (
            field.number,
            kind(field),
            field.is_repeated,
            field.has_presence,
            field.containing_oneof.name if field.containing_oneof else None,
        )
        for field in message.fields
    }


def test_the_contract_holds_the_standard_lint_rules() -> None:
    result = buf("lint")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_contract_breaks_nobody_who_has_the_baseline() -> None:
    result = buf("breaking", "--against", "baseline.binpb")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_breaking_check_sees_a_field_that_changed_its_number(tmp_path: Path) -> None:
    """The check above is awake: the same command refuses a broken copy."""
    for source in [*PROTOS.rglob("*.proto"), PROTOS / "buf.yaml", PROTOS / "baseline.binpb"]:
        target = tmp_path / source.relative_to(PROTOS)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    broken = tmp_path / "steeple" / "common" / "v1" / "tokens.proto"
    before = broken.read_text()
    broken.write_text(before.replace("repeated uint32 ids = 1;", "repeated uint32 ids = 9;"))
    assert broken.read_text() != before
    result = buf("breaking", "--against", "baseline.binpb", at=tmp_path)
    assert result.returncode != 0
    assert '"ids"' in result.stdout


def test_the_generated_code_is_fresh(tmp_path: Path) -> None:
    """Byte for byte and in both directions: nothing stale, nothing missing, nothing left over."""
    generator().generate(tmp_path)
    made, committed = generated(tmp_path), generated(PROTOS)
    assert sorted(made) == sorted(committed)
    stale = [name for name, data in made.items() if committed[name] != data]
    assert stale == [], "run `make protos`"


@pytest.mark.parametrize(
    ("whole", "streamed"),
    [
        (generate_pb2.GenerateRequest, generate_pb2.GenerateStreamRequest),
        (chat_pb2.ChatRequest, chat_pb2.ChatStreamRequest),
    ],
)
def test_a_streaming_request_is_its_unary_twin(whole: object, streamed: object) -> None:
    assert shape(whole.DESCRIPTOR) == shape(streamed.DESCRIPTOR)  # type: ignore[attr-defined] # of every message
    assert shape(whole.DESCRIPTOR)  # type: ignore[attr-defined] # likewise


@pytest.mark.parametrize(
    "message",
    [sampling_pb2.SamplingParams, sampling_pb2.StoppingParams, sampling_pb2.OutputParams],
)
def test_every_scalar_option_tells_unset_from_zero(message: object) -> None:
    """Unset means the model's default; zero is a value."""
    fields = message.DESCRIPTOR.fields  # type: ignore[attr-defined] # of every message
    blind = [f.name for f in fields if not f.is_repeated and not f.has_presence]
    assert blind == []
