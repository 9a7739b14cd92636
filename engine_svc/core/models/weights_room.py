"""Whether the weights fit into this machine's memory: told before gigabytes are read."""

import math

from engine_svc.core.errors import StartupError
from engine_svc.core.models.number_formats import ITEM_BYTES
from engine_svc.core.models.safetensors_files import WeightFiles
from steeple_rpc.sizes import bytes_text


def check_room(weights: WeightFiles, *, dtype: str, available_bytes: int) -> None:
    """Return only if the weights fit.

    Args:
        weights: to be loaded.
        dtype: the number format that they will have in memory.
        available_bytes: memory of this machine that is free.

    Raises:
        StartupError: tells what they need, what there is, and a format in which they would fit.
    """
    num_numbers = sum(math.prod(entry.shape) for _, entry in weights.tensors())
    needed_bytes = num_numbers * ITEM_BYTES[dtype]
    if needed_bytes <= available_bytes:
        return
    remedy = f"{_smaller(num_numbers, available_bytes)}free memory, or serve a smaller model"
    raise StartupError(
        f"the weights need {bytes_text(needed_bytes)} as {dtype}, and"
        f" {bytes_text(available_bytes)} of memory are free: {remedy}"
    )


def _smaller(num_numbers: int, available_bytes: int) -> str:
    """The first format in which they would fit, as the beginning of a remedy."""
    for name, item_bytes in ITEM_BYTES.items():
        num_bytes = num_numbers * item_bytes
        if num_bytes <= available_bytes:
            return f"pass --dtype {name} ({bytes_text(num_bytes)}), "
    return ""
