"""What a model family is: how its configuration is read and its weights become an FMS model.

Families import no torch before one is built: a model directory can be looked at without it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from engine_svc.core.models.config_fields import Field
from engine_svc.core.models.config_values import Json
from engine_svc.core.models.geometry import Geometry

if TYPE_CHECKING:
    from torch import Tensor, nn

Shape = tuple[int, ...]
Tensors: TypeAlias = "dict[str, Tensor]"


class Task(Enum):
    """What a model is for."""

    DECODER = "decoder"
    """It writes text, token after token."""
    ENCODER = "encoder"
    """It reads a whole text at once and gives numbers for it."""


def nothing_spare(_: Geometry) -> dict[str, Shape]:
    """Of a family whose checkpoints hold what is computed with, and no more."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One architecture that is loaded."""

    task: Task

    architecture: str
    """The class in config.json's `architectures`."""
    model_type: str
    fields: Mapping[str, Field]
    """What becomes of each field of config.json; one that is not here is refused."""
    read: Callable[[Json], Geometry]
    """Reads a configuration whose fields are all known. Raises StartupError."""
    tensors: Callable[[Geometry], dict[str, Shape]]
    """Name and shape of every tensor that a checkpoint must hold, a tied head not among them."""
    build: "Callable[[Geometry], nn.Module]"
    """The FMS model, on the device that is current, its weights in any state."""
    convert: "Callable[[Tensors, Geometry, nn.Module], Tensors]"
    """The same numbers under FMS's names, in FMS's layout; one layer at a time."""
    name_of: Callable[[str], str] = str
    """The name by which a tensor of a checkpoint is known today: older ones had others."""
    spare: Callable[[Geometry], dict[str, Shape]] = nothing_spare
    """Tensors that a checkpoint may also hold, which the architecture does not compute with."""
    embedding: str = "model.embed_tokens.weight"
    head: str = "lm_head.weight"
    layer_prefix: str = "model.layers."
    """What the names of tensors that belong to a layer begin with."""
