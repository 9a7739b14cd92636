"""Compares the tensors that a checkpoint holds with what its configuration needs."""

from engine_svc.core.errors import StartupError
from engine_svc.core.models.family import Family
from engine_svc.core.models.geometry import Geometry
from engine_svc.core.models.safetensors_files import WeightFiles
from engine_svc.core.models.safetensors_header import DTYPE_BYTES
from engine_svc.core.models.weights_layout import is_known_buffer


def check_tensors(family: Family, geometry: Geometry, weights: WeightFiles) -> None:
    """Return only if every needed tensor is there in its shape, and no unknown one.

    Raises:
        StartupError: naming the first tensor that is missing, unknown or of a wrong shape.
    """
    needed = family.tensors(geometry)
    allowed = family.spare(geometry) | needed
    if geometry.has_tied_embeddings:
        allowed[family.head] = needed[family.embedding]
    held = dict(weights.tensors())
    for name in sorted(needed.keys() - held.keys()):
        raise StartupError(f"tensor {name} is missing: fetch the weights again")
    for name, entry in sorted(held.items()):
        if name not in allowed and not is_known_buffer(name):
            raise StartupError(
                f"tensor {name} does not belong to {family.architecture} with this "
                "config.json: fetch configuration and weights of one model"
            )
        if name in needed and entry.dtype not in DTYPE_BYTES:
            raise StartupError(
                f"tensor {name} has dtype {entry.dtype}; {', '.join(DTYPE_BYTES)} are served: "
                "save the model again"
            )
        if entry.shape != allowed.get(name, entry.shape):
            raise StartupError(
                f"tensor {name} has shape {list(entry.shape)} where config.json needs "
                f"{list(allowed[name])}: fetch configuration and weights of one model"
            )
