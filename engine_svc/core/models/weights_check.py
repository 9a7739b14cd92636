"""Compares the tensors that a checkpoint holds with those that its configuration needs."""

from engine_svc.core.errors import StartupError
from engine_svc.core.models.family import Family
from engine_svc.core.models.geometry import Geometry
from engine_svc.core.models.safetensors_files import WeightFiles
from engine_svc.core.models.weights_layout import is_known_buffer


def check_tensors(family: Family, geometry: Geometry, weights: WeightFiles) -> None:
    """Return only if every needed tensor is there in its shape, and no unknown one.

    Raises:
        StartupError: naming the first tensor that is missing, unknown or of a wrong shape.
    """
    needed = family.tensors(geometry)
    allowed = dict(needed)
    if geometry.has_tied_embeddings:
        allowed[family.head] = needed[family.embedding]
    held = {name: entry.shape for name, entry in weights.tensors()}
    for name in sorted(needed.keys() - held.keys()):
        raise StartupError(f"tensor {name} is missing: fetch the weights again")
    for name, shape in sorted(held.items()):
        if name not in allowed and not is_known_buffer(name):
            raise StartupError(
                f"tensor {name} does not belong to {family.architecture} with this "
                "config.json: fetch configuration and weights of one model"
            )
        if shape != allowed.get(name, shape):
            raise StartupError(
                f"tensor {name} has shape {list(shape)} where config.json needs "
                f"{list(allowed[name])}: fetch configuration and weights of one model"
            )
