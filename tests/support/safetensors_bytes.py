"""Safetensors files made byte by byte: also the broken ones that no library writes."""

import json
from pathlib import Path
from typing import Any

# A header's entry for one tensor: dtype, shape, data_offsets.
Entry = dict[str, Any]


def entry(begin: int, end: int, *, shape: list[int] | None = None, dtype: str = "F32") -> Entry:
    """An entry that holds what its offsets say, unless told otherwise."""
    size = {"F32": 4, "F16": 2, "BF16": 2}.get(dtype, 1)
    return {
        "dtype": dtype,
        "shape": [(end - begin) // size] if shape is None else shape,
        "data_offsets": [begin, end],
    }


def write_safetensors(path: Path, header: object, *, data_bytes: int) -> Path:
    """A file with this header and zeros for tensors."""
    return write_raw(path, json.dumps(header).encode(), data_bytes=data_bytes)


def write_raw(path: Path, header: bytes, *, data_bytes: int, length: int | None = None) -> Path:
    """A file whose header is any bytes, of which it may lie about the length."""
    told = len(header) if length is None else length
    path.write_bytes(told.to_bytes(8, "little") + header + bytes(data_bytes))
    return path
