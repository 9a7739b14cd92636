"""Weights that no memory holds are refused before they are read."""

from pathlib import Path

import pytest

from engine_svc.core.errors import StartupError
from engine_svc.core.models.safetensors_files import WeightFiles
from engine_svc.core.models.safetensors_header import TensorEntry, WeightFile
from engine_svc.core.models.weights_room import check_room

MILLION = 1 << 20


def weights(*shape: int) -> WeightFiles:
    entry = TensorEntry(name="w", dtype="F32", shape=shape, begin=0, end=0)
    return WeightFiles(files=(WeightFile(path=Path("f"), header=b"", tensors={"w": entry}),))


def told(held: WeightFiles, dtype: str, available_bytes: int) -> str:
    with pytest.raises(StartupError) as caught:
        check_room(held, dtype=dtype, available_bytes=available_bytes)
    return str(caught.value)


def test_what_fits_is_loaded() -> None:
    """Up to the last byte, in the format that is asked for."""
    check_room(weights(2, MILLION), dtype="float32", available_bytes=8 * MILLION)
    check_room(weights(2, MILLION), dtype="bfloat16", available_bytes=4 * MILLION)


def test_what_fits_in_another_format_is_told_so() -> None:
    assert told(weights(2, MILLION), "float32", 8 * MILLION - 1) == (
        "the weights need 8.0 MiB as float32, and 8.0 MiB of memory are free: pass --dtype bfloat16"
        " (4.0 MiB), free memory, or serve a smaller model"
    )


def test_what_fits_in_none_is_told_so() -> None:
    assert told(weights(2, MILLION), "float16", MILLION).endswith(
        "1.0 MiB of memory are free: free memory, or serve a smaller model"
    )
