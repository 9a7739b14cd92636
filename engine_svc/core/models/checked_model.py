"""A model directory whose configuration and weights fit each other; no weight is read, no torch."""

from dataclasses import dataclass
from math import prod

from engine_svc.core.models.config_check import read_geometry
from engine_svc.core.models.description import ModelDescription
from engine_svc.core.models.family import Family, Task
from engine_svc.core.models.geometry import Geometry
from engine_svc.core.models.safetensors_files import WeightFiles, list_weight_files
from engine_svc.core.models.weights_check import check_tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedModel:
    """What can be loaded."""

    family: Family
    geometry: Geometry
    weights: WeightFiles

    @property
    def num_weights(self) -> int:
        """Numbers that are computed with; a tied head is not counted twice."""
        return sum(prod(shape) for shape in self.family.tensors(self.geometry).values())


def check_model(description: ModelDescription, task: Task) -> CheckedModel:
    """Check the configuration, the files and their headers.

    Raises:
        StartupError: the model cannot be served; the message names file, field or tensor.
    """
    family, geometry = read_geometry(description, task)
    weights = list_weight_files(description.directory).renamed(family.name_of)
    check_tensors(family, geometry, weights)
    return CheckedModel(family=family, geometry=geometry, weights=weights)
