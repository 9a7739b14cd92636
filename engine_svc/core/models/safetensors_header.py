"""Reads and checks the header of one safetensors file; the tensors' bytes are not touched.

A file is: 8 bytes little-endian length, that many bytes of JSON, the tensors' bytes. Source of the
rules: the format's own README, https://github.com/huggingface/safetensors.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from engine_svc.core.errors import StartupError

MAX_HEADER_BYTES = 8 << 20
"""Enough for 60,000 tensors; a hostile header grows to some 25 times as much in memory."""
DTYPE_BYTES: Mapping[str, int] = {"F32": 4, "F16": 2, "BF16": 2}
"""The number formats that are served."""
INTEGER_BYTES: Mapping[str, int] = {"I64": 8}
"""Formats of tensors that old checkpoints hold and nobody reads."""

_ITEM_BYTES = {**DTYPE_BYTES, **INTEGER_BYTES}
_LENGTH_BYTES = 8
_MAX_DIMENSIONS = 8
_MAX_COUNT = 1 << 63
_REMEDY = "fetch the file again, or save the model again with safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorEntry:
    """Where one tensor lies in its file."""

    name: str
    """In the file."""
    dtype: str
    shape: tuple[int, ...]
    begin: int
    """First byte, counted from the end of the header."""
    end: int

    @property
    def num_bytes(self) -> int:
        """Bytes of the tensor."""
        return self.end - self.begin


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFile:
    """One file whose header is sound."""

    path: Path
    header: bytes
    """The JSON as it is in the file."""
    tensors: Mapping[str, TensorEntry]


def read_weight_file(path: Path) -> WeightFile:
    """Read the header of a safetensors file and check all of it.

    Raises:
        StartupError: the header is not sound, or does not cover the file exactly; the message
            names the file and, where there is one, the tensor.
    """
    try:
        header, data_bytes = _read_header(path)
    except OSError as error:
        raise StartupError(f"{path.name}: cannot be read: {error.strerror}") from error
    fields = _parse(path, header)
    tensors = {name: _entry(path, name, value) for name, value in fields.items()}
    _check_cover(path, tensors, data_bytes)
    return WeightFile(path=path, header=header, tensors=tensors)


def _read_header(path: Path) -> tuple[bytes, int]:
    """The header's bytes, and how many bytes of tensors follow it."""
    with path.open("rb") as file:
        size = path.stat().st_size
        prefix = file.read(_LENGTH_BYTES)
        length = int.from_bytes(prefix, "little")
        if len(prefix) < _LENGTH_BYTES or length > size - _LENGTH_BYTES:
            _refuse(path, "is cut off inside its header")
        if length > MAX_HEADER_BYTES:
            _refuse(path, f"has a header of {length} bytes; at most {MAX_HEADER_BYTES} are read")
        return file.read(length), size - _LENGTH_BYTES - length


# A JSON object of any shape, until `_entry` has checked it.
def _parse(path: Path, header: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(header, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise StartupError(f"{path.name}: its header is not sound JSON: {_REMEDY}") from error
    if not isinstance(fields, dict):
        _refuse(path, "has a header that is not a JSON object")
    fields.pop("__metadata__", None)
    return fields


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _entry(path: Path, name: str, value: Any) -> TensorEntry:
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        _refuse(path, "must have dtype, shape and data_offsets", tensor=name)
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _ITEM_BYTES:
        _refuse(path, f"has dtype {dtype}; {', '.join(DTYPE_BYTES)} are served", tensor=name)
    if not _is_counts(shape) or len(shape) > _MAX_DIMENSIONS:
        _refuse(path, "has a shape that is not a short list of counts", tensor=name)
    if not _is_counts(offsets) or len(offsets) != len(("begin", "end")):
        _refuse(path, "has data_offsets that are not two counts", tensor=name)
    begin, end = offsets
    needed = math.prod(shape) * _ITEM_BYTES[dtype]
    if end - begin != needed:
        _refuse(path, f"holds {end - begin} bytes where its shape needs {needed}", tensor=name)
    return TensorEntry(name=name, dtype=dtype, shape=tuple(shape), begin=begin, end=end)


def _is_counts(value: Any) -> bool:
    return isinstance(value, list) and all(
        type(item) is int and 0 <= item < _MAX_COUNT for item in value
    )


def _check_cover(path: Path, tensors: Mapping[str, TensorEntry], data_bytes: int) -> None:
    """The tensors lie one after the other, without gap or overlap, up to the file's last byte."""
    covered = 0
    for name, entry in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != covered:
            _refuse(path, f"begins at byte {entry.begin}, not {covered}", tensor=name)
        covered = entry.end
    if covered != data_bytes:
        _refuse(path, f"holds {data_bytes} bytes of tensors where its header says {covered}")


def _refuse(path: Path, problem: str, *, tensor: str | None = None) -> NoReturn:
    subject = path.name if tensor is None else f"{path.name}: tensor {tensor}"
    raise StartupError(f"{subject} {problem}: {_REMEDY}")
