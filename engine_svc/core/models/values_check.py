"""Looks at the numbers of a checkpoint while they are loaded."""

from collections.abc import Mapping

import torch
from torch import Tensor

from engine_svc.core.errors import StartupError
from engine_svc.core.models.dtypes import dtype_name


def check_values(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> None:
    """Return only if every number is finite, and stays so in the format that is computed in.

    One such number makes every answer nonsense, or every request fail.

    Raises:
        StartupError: naming the first tensor where one is not.
    """
    greatest = torch.finfo(dtype).max
    for name, tensor in tensors.items():
        low, high = (float(bound) for bound in tensor.aminmax())
        # Comparisons that are also false for NaN.
        if not (low >= -greatest and high <= greatest):
            raise StartupError(
                f"tensor {name} holds numbers that are not finite in {dtype_name(dtype)}: "
                "fetch the weights again, or choose another --dtype"
            )
