"""Model families: from the class that config.json names to what loads it."""

from collections.abc import Mapping
from types import MappingProxyType

from engine_svc.core.errors import StartupError
from engine_svc.core.models.families.bert import BERT
from engine_svc.core.models.families.gpt_bigcode import GPT_BIGCODE
from engine_svc.core.models.families.granite import GRANITE
from engine_svc.core.models.families.granite_hybrid import GRANITE_HYBRID
from engine_svc.core.models.families.llama import LLAMA
from engine_svc.core.models.families.mistral import MISTRAL
from engine_svc.core.models.families.mixtral import MIXTRAL
from engine_svc.core.models.families.mpnet import MPNET
from engine_svc.core.models.families.qwen3 import QWEN3
from engine_svc.core.models.families.roberta import ROBERTA, XLM_ROBERTA
from engine_svc.core.models.family import Family, Task

DECODERS = (GPT_BIGCODE, GRANITE, GRANITE_HYBRID, LLAMA, MISTRAL, MIXTRAL, QWEN3)
ENCODERS = (*BERT, MPNET, *ROBERTA, *XLM_ROBERTA)

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {family.architecture: family for family in (*DECODERS, *ENCODERS)}
)


def family_of(architecture: str, task: Task) -> Family:
    """The family that loads an architecture, if it is for the task.

    Raises:
        StartupError: none does, or it is for another task; the message lists those that would do.
    """
    family = FAMILIES.get(architecture)
    if family is not None and family.task is task:
        return family
    problem = "is not served" if family is None else _mismatch(family.task, task)
    fitting = sorted(name for name, one in FAMILIES.items() if one.task is task)
    raise StartupError(
        f"config.json: architectures: {architecture} {problem}; "
        f"choose a model of {', '.join(fitting)}"
    )


def _mismatch(held: Task, wanted: Task) -> str:
    article = "an" if held is Task.ENCODER else "a"
    return f"is {article} {held.value}; this engine serves {wanted.value}s only"
