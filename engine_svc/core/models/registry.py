"""Model families: from the class that config.json names to what serves it."""

from collections.abc import Mapping
from types import MappingProxyType

from engine_svc.core.errors import StartupError
from engine_svc.core.models.families.gpt_bigcode import GPT_BIGCODE
from engine_svc.core.models.families.granite import GRANITE
from engine_svc.core.models.families.granite_hybrid import GRANITE_HYBRID
from engine_svc.core.models.families.llama import LLAMA
from engine_svc.core.models.families.mistral import MISTRAL
from engine_svc.core.models.families.mixtral import MIXTRAL
from engine_svc.core.models.families.qwen3 import QWEN3
from engine_svc.core.models.family import Family

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        family.architecture: family
        for family in (GPT_BIGCODE, GRANITE, GRANITE_HYBRID, LLAMA, MISTRAL, MIXTRAL, QWEN3)
    }
)


def family_of(architecture: str) -> Family:
    """The family that serves an architecture.

    Raises:
        StartupError: none does; the message lists those that are served.
    """
    family = FAMILIES.get(architecture)
    if family is None:
        raise StartupError(
            f"config.json: architectures: {architecture} is not served; "
            f"choose a model of {', '.join(sorted(FAMILIES))}"
        )
    return family
