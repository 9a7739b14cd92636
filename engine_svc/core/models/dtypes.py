"""Number formats by name: what `--dtype` takes, what checkpoints hold."""

import torch

from engine_svc.core.errors import StartupError
from engine_svc.core.models.safetensors_files import WeightFiles

AUTO = "auto"
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
CHECKPOINT_DTYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}


def resolve_dtype(name: str, *, device: torch.device, weights: WeightFiles) -> torch.dtype:
    """The number format to compute in.

    `auto` is float32 on a CPU, where tokens then do not depend on the batch, and elsewhere the
    format in which the checkpoint holds most of its bytes.

    Raises:
        StartupError: the name is none of ours.
    """
    if name == AUTO:
        return torch.float32 if device.type == "cpu" else _commonest(weights)
    if name not in DTYPES:
        raise StartupError(f"dtype {name!r} is unknown: use {AUTO}, {', '.join(sorted(DTYPES))}")
    return DTYPES[name]


def dtype_name(dtype: torch.dtype) -> str:
    """The name under which `--dtype` takes it."""
    return next(name for name, known in DTYPES.items() if known is dtype)


def _commonest(weights: WeightFiles) -> torch.dtype:
    held = dict.fromkeys(CHECKPOINT_DTYPES, 0)
    for _, entry in weights.tensors():
        if entry.dtype in held:
            held[entry.dtype] += entry.num_bytes
    return CHECKPOINT_DTYPES[max(held, key=lambda name: held[name])]
