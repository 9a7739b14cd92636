"""Whether the weights fit into this machine's memory: told before gigabytes are read."""

import math

import torch

from engine_svc.core.errors import StartupError
from engine_svc.core.models.dtypes import DTYPES, dtype_name
from engine_svc.core.models.safetensors_files import WeightFiles
from steeple_rpc.quantities import told_size


def check_room(weights: WeightFiles, *, dtype: torch.dtype, available_bytes: int) -> None:
    """Return only if the weights fit.

    Args:
        weights: to be loaded.
        dtype: the number format that they will have in memory.
        available_bytes: memory of this machine that is free.

    Raises:
        StartupError: tells what they need, what there is, and a format in which they would fit.
    """
    num_numbers = sum(math.prod(entry.shape) for _, entry in weights.tensors())
    needed_bytes = num_numbers * dtype.itemsize
    if needed_bytes <= available_bytes:
        return
    remedy = f"{_smaller(num_numbers, available_bytes)}free memory, or serve a smaller model"
    raise StartupError(
        f"the weights need {told_size(needed_bytes)} as {dtype_name(dtype)}, and"
        f" {told_size(available_bytes)} of memory are free: {remedy}"
    )


def _smaller(num_numbers: int, available_bytes: int) -> str:
    """The first format in which they would fit, as the beginning of a remedy."""
    for name, number_format in DTYPES.items():
        num_bytes = num_numbers * number_format.itemsize
        if num_bytes <= available_bytes:
            return f"pass --dtype {name} ({told_size(num_bytes)}), "
    return ""
