"""The number formats as torch knows them."""

import torch

from engine_svc.core.models.number_formats import resolve_format
from engine_svc.core.models.safetensors_files import WeightFiles

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


def resolve_dtype(name: str, *, device: torch.device, weights: WeightFiles) -> torch.dtype:
    """The number format to compute in; see `resolve_format`.

    Raises:
        StartupError: the name is none of ours.
    """
    return DTYPES[resolve_format(name, device=str(device), weights=weights)]


def dtype_name(dtype: torch.dtype) -> str:
    """The name under which `--dtype` takes it."""
    return next(name for name, known in DTYPES.items() if known is dtype)
