"""Model families: from the class that config.json names to what serves it, or why nothing does."""

from collections.abc import Mapping
from types import MappingProxyType

from engine_svc.core.errors import StartupError
from engine_svc.core.models.families.gpt_bigcode import GPT_BIGCODE
from engine_svc.core.models.families.granite import GRANITE
from engine_svc.core.models.families.granite_hybrid import GRANITE_HYBRID
from engine_svc.core.models.families.llama import LLAMA
from engine_svc.core.models.families.mistral import MISTRAL
from engine_svc.core.models.families.qwen3 import QWEN3
from engine_svc.core.models.family import Family

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        family.architecture: family
        for family in (GPT_BIGCODE, GRANITE, GRANITE_HYBRID, LLAMA, MISTRAL, QWEN3)
    }
)

_SCORES = "it reads whole texts and writes none, which is not served yet"
_IMAGES = "it reads images, which are not served yet"

REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "BambaForCausalLM": "FMS takes its layers of attention from a constant",
        "BertForMaskedLM": _SCORES,
        "BertForSequenceClassification": _SCORES,
        "GptOssForCausalLM": "FMS reads its MXFP4 weights alone, and its rotation from constants",
        "GraniteMoeForCausalLM": "FMS does not have it",
        "GraniteSWAForCausalLM": "its windows are not computed",
        "LlavaNextForConditionalGeneration": _IMAGES,
        "Mistral3ForConditionalGeneration": _IMAGES,
        "MixtralForCausalLM": "FMS has neither its tensors' names nor its number of key heads",
        "MPNetForMaskedLM": "FMS computes its hidden states, not its logits",
        "MPNetModel": _SCORES,
        "Qwen2ForCausalLM": "FMS does not have it",
        "RobertaForMaskedLM": _SCORES,
        "RobertaForQuestionAnswering": _SCORES,
        "RobertaForSequenceClassification": _SCORES,
        "RobertaModel": _SCORES,
        "SiglipModel": _IMAGES,
        "XLMRobertaForMaskedLM": _SCORES,
        "XLMRobertaForSequenceClassification": _SCORES,
        "XLMRobertaModel": _SCORES,
    }
)
"""Architectures that FMS has, or that are often asked for, and why they are refused."""


def family_of(architecture: str) -> Family:
    """The family that serves an architecture.

    Raises:
        StartupError: none does; the message says why, and lists those that are served.
    """
    family = FAMILIES.get(architecture)
    if family is None:
        reason = REFUSED.get(architecture)
        raise StartupError(
            f"config.json: architectures: {architecture} is not served"
            f"{f': {reason}' if reason else ''}; choose a model of {', '.join(sorted(FAMILIES))}"
        )
    return family
