"""Loads the weights of a checked model through FMS's own conversion, and proves that all arrived.

FMS's loader lists files itself, falls back to pickle, leaves what is missing as it was in memory
and only logs what is left over. Here FMS converts names and layouts, nothing more.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine_svc.core.errors import StartupError
from engine_svc.core.machine import available_memory_bytes
from engine_svc.core.models.checked_model import check_model
from engine_svc.core.models.checkpoint import Checkpoint, Progress
from engine_svc.core.models.description import ModelDescription
from engine_svc.core.models.dtypes import dtype_name, resolve_dtype
from engine_svc.core.models.family import Family, Task
from engine_svc.core.models.fms_model import build_fms_model
from engine_svc.core.models.geometry import Geometry
from engine_svc.core.models.safetensors_files import WeightFiles
from engine_svc.core.models.values_check import check_values
from engine_svc.core.models.weights_room import check_room


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model with all its weights, ready for inference."""

    model: nn.Module
    geometry: Geometry
    dtype: torch.dtype
    weights_bytes: int
    """Bytes of the parameters in memory."""
    weights: WeightFiles


def load_model(
    description: ModelDescription,
    *,
    task: Task,
    dtype: str,
    device: torch.device,
    progress: Progress,
) -> LoadedModel:
    """Check configuration and files, then load.

    Args:
        description: the model directory.
        task: what the caller wants the model for.
        dtype: "auto" or a name of `DTYPES`.
        device: where the weights go.
        progress: told of each group of tensors, from no bytes to all of them.

    Raises:
        StartupError: the model cannot be served; the message names file, field or tensor.
    """
    checked = check_model(description, task)
    family, geometry, weights = checked.family, checked.geometry, checked.weights
    number_format = resolve_dtype(dtype, device=device, weights=weights)
    if device.type == "cpu":
        check_room(
            weights, dtype=dtype_name(number_format), available_bytes=available_memory_bytes()
        )
    model = build_fms_model(family, geometry)
    with Checkpoint(family=family, geometry=geometry, weights=weights) as source:
        for group in source.groups(progress):
            check_values(group, number_format)
            converted = _converted(family, geometry, model, group)
            _assign(model, converted, number_format, device)
    _finish(model)
    return LoadedModel(
        model=model,
        geometry=geometry,
        dtype=number_format,
        weights_bytes=sum(param.numel() * param.itemsize for param in model.parameters()),
        weights=weights,
    )


def _converted(
    family: Family, geometry: Geometry, model: nn.Module, group: dict[str, Tensor]
) -> dict[str, Tensor]:
    """The same numbers, none more and none fewer, under FMS's names."""
    converted = family.convert(group, geometry, model)
    counts = [sum(tensor.numel() for tensor in side.values()) for side in (group, converted)]
    if counts[0] != counts[1]:
        raise StartupError(
            f"FMS converts {counts[0]} numbers of {family.architecture} to {counts[1]}"
        )
    return converted


def _assign(
    model: nn.Module, values: dict[str, Tensor], dtype: torch.dtype, device: torch.device
) -> None:
    # A copy each: what safetensors returned is a view of the mapped file.
    owned = {name: value.to(device, dtype, copy=True) for name, value in values.items()}
    try:
        unused = model.load_state_dict(owned, strict=False, assign=True).unexpected_keys
    except RuntimeError as error:
        raise StartupError(f"FMS has no room for the weights: {error}") from error
    if unused:
        raise StartupError(f"FMS does not use tensor {unused[0]}: serve another model")


# FMS's models are untyped: to the type checker an nn.Module has no post_init.
def _finish(model: Any) -> None:
    """Tie what is tied, make the rotation table, and prove that nothing is left unassigned."""
    if hasattr(model, "post_init"):  # of some models only
        model.post_init()
    for name, param in model.named_parameters():
        if param.is_meta:
            raise StartupError(f"FMS's parameter {name} got no weights: serve another model")
    model.requires_grad_(requires_grad=False)
    model.eval()
