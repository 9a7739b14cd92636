"""A weight file is read only if its header is sound and covers the file exactly."""

from pathlib import Path

import pytest

from engine_svc.core.errors import StartupError
from engine_svc.core.models.safetensors_header import MAX_HEADER_BYTES, read_weight_file
from tests.support.safetensors_bytes import entry, write_raw, write_safetensors


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def test_a_sound_file_is_read_without_its_tensors(path: Path) -> None:
    """Names, formats, shapes and places; metadata is not a tensor; empty tensors are."""
    header = {
        "__metadata__": {"format": "pt"},
        "b": entry(24, 28, dtype="BF16", shape=[2, 1]),
        "a": entry(0, 24, shape=[2, 3]),
        "empty": entry(24, 24, shape=[0, 3]),
    }
    file = read_weight_file(write_safetensors(path, header, data_bytes=28))
    assert {name: found.shape for name, found in file.tensors.items()} == {
        "a": (2, 3),
        "b": (2, 1),
        "empty": (0, 3),
    }
    assert file.tensors["b"].num_bytes == 4
    assert path.read_bytes()[8:].startswith(file.header)


BAD_HEADERS = {
    "gap": ({"a": entry(0, 4), "b": entry(8, 12)}, "tensor b begins at byte 8, not 4"),
    "late start": ({"a": entry(4, 12)}, "tensor a begins at byte 4, not 0"),
    "overlap": ({"a": entry(0, 8), "b": entry(4, 12)}, "tensor b begins at byte 4, not 8"),
    "the same twice": ({"a": entry(0, 12), "b": entry(0, 12)}, "begins at byte 0, not 12"),
    "too short": ({"a": entry(0, 8)}, "holds 12 bytes of tensors where its header says 8"),
    "too long": ({"a": entry(0, 16)}, "holds 12 bytes of tensors where its header says 16"),
    "shape": ({"a": entry(0, 12, shape=[4])}, "tensor a holds 12 bytes where its shape needs 16"),
    "huge shape": ({"a": entry(0, 12, shape=[2**62, 2**62])}, "where its shape needs"),
    "negative shape": ({"a": entry(0, 12, shape=[-3, -1])}, "has a shape that is not"),
    "fractional shape": ({"a": {**entry(0, 12), "shape": [3.0]}}, "has a shape that is not"),
    "boolean shape": ({"a": {**entry(0, 4), "shape": [True]}}, "has a shape that is not"),
    "deep shape": ({"a": entry(0, 12, shape=[1] * 8 + [3])}, "has a shape that is not"),
    "negative offset": (
        {"a": {**entry(0, 12), "data_offsets": [-4, 8]}},
        "data_offsets that are not two counts",
    ),
    "backwards": ({"a": {**entry(0, 12), "data_offsets": [12, 0]}}, "holds -12 bytes"),
    "three offsets": (
        {"a": {**entry(0, 12), "data_offsets": [0, 4, 12]}},
        "data_offsets that are not two counts",
    ),
    "dtype": ({"a": entry(0, 12, dtype="F8_E4M3")}, "has dtype F8_E4M3; F32, F16, BF16"),
    "no dtype name": ({"a": {**entry(0, 12), "dtype": ["F32"]}}, "tensor a has dtype"),
    "extra field": ({"a": {**entry(0, 12), "code": "x"}}, "must have dtype, shape"),
    "no entry": ({"a": 12}, "tensor a must have dtype, shape and data_offsets"),
    "no object": ([1, 2], "not a JSON object"),
}


@pytest.mark.parametrize(("header", "problem"), BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_an_unsound_header_is_refused(path: Path, header: object, problem: str) -> None:
    """The message names the file, the tensor where there is one, and the remedy."""
    write_safetensors(path, header, data_bytes=12)
    with pytest.raises(StartupError, match=r"^model\.safetensors") as caught:
        read_weight_file(path)
    assert problem in str(caught.value)
    assert "fetch the file again" in str(caught.value)


@pytest.mark.parametrize(
    ("header", "length", "problem"),
    [
        (b"{}", 3, "cut off inside its header"),
        (b"{}", 2**64 - 1, "cut off inside its header"),
        (b"{", None, "not sound JSON"),
        (b"\xff\xfe{}", None, "not sound JSON"),
        (b'{"a": 1, "a": 1}', None, "not sound JSON"),
        (b"[" * 100_000, None, "not sound JSON"),
    ],
)
def test_a_header_that_is_no_json_is_refused(
    path: Path, header: bytes, length: int | None, problem: str
) -> None:
    """Cut, of a false length, not text, with a name twice, or nested without end."""
    write_raw(path, header, data_bytes=0, length=length)
    with pytest.raises(StartupError, match=problem):
        read_weight_file(path)


@pytest.mark.parametrize("num_bytes", [0, 5, 8])
def test_a_file_cut_at_its_start_is_refused(path: Path, num_bytes: int) -> None:
    """Nothing, part of the length, or the length alone."""
    write_safetensors(path, {"a": entry(0, 4)}, data_bytes=4)
    path.write_bytes(path.read_bytes()[:num_bytes])
    with pytest.raises(StartupError, match="cut off inside its header"):
        read_weight_file(path)


def test_a_huge_header_is_refused_unread(path: Path) -> None:
    """The file is sparse: reading it would take 100 MB."""
    with path.open("wb") as file:
        file.write((MAX_HEADER_BYTES + 1).to_bytes(8, "little"))
        file.truncate(MAX_HEADER_BYTES + 16)
    with pytest.raises(StartupError, match=f"at most {MAX_HEADER_BYTES}"):
        read_weight_file(path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A directory in the place of a file."""
    with pytest.raises(StartupError, match="cannot be read"):
        read_weight_file(tmp_path)
