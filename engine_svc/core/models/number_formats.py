"""Number formats by name: what `--dtype` takes, what checkpoints hold. Without torch."""

from collections.abc import Mapping

from engine_svc.core.errors import StartupError
from engine_svc.core.models.safetensors_files import WeightFiles

AUTO = "auto"
ITEM_BYTES: Mapping[str, int] = {"bfloat16": 2, "float16": 2, "float32": 4}
_OF_CHECKPOINTS = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}


def resolve_format(name: str, *, device: str, weights: WeightFiles) -> str:
    """The number format to compute in.

    `auto` is float32 on a CPU, where tokens then do not depend on the batch, and elsewhere the
    format in which the checkpoint holds most of its bytes.

    Args:
        name: as it was asked for.
        device: a torch device string.
        weights: the checkpoint.

    Raises:
        StartupError: the name is none of ours.
    """
    if name == AUTO:
        return "float32" if is_cpu(device) else _commonest(weights)
    if name not in ITEM_BYTES:
        raise StartupError(
            f"dtype {name!r} is unknown: use {AUTO}, {', '.join(sorted(ITEM_BYTES))}"
        )
    return name


def is_cpu(device: str) -> bool:
    """Whether a torch device string names the CPU, and so the machine's memory."""
    return device.partition(":")[0] == "cpu"


def _commonest(weights: WeightFiles) -> str:
    held = dict.fromkeys(_OF_CHECKPOINTS, 0)
    for _, entry in weights.tensors():
        if entry.dtype in held:
            held[entry.dtype] += entry.num_bytes
    return _OF_CHECKPOINTS[max(held, key=lambda name: held[name])]
