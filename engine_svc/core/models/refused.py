"""The architectures that are refused as a whole, by name: told before anything else is read."""

from collections.abc import Mapping
from types import MappingProxyType

from engine_svc.core.errors import StartupError

_IMAGES = "it reads images, which are not served yet"

REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "BambaForCausalLM": "FMS takes its layers of attention from a constant",
        "GptOssForCausalLM": "FMS reads its MXFP4 weights alone, and its rotation from constants",
        "GraniteMoeForCausalLM": "FMS does not have it",
        "GraniteSWAForCausalLM": "its windows are not computed",
        "LlavaNextForConditionalGeneration": _IMAGES,
        "Mistral3ForConditionalGeneration": _IMAGES,
        "MPNetForMaskedLM": "FMS computes its hidden states, not its logits",
        "Qwen2ForCausalLM": "FMS does not have it",
        "SiglipModel": _IMAGES,
    }
)
"""Architectures that FMS has, or that are often asked for, and why they are not served."""


def check_architecture(architecture: str) -> None:
    """Return unless an architecture is known not to be served.

    Raises:
        StartupError: it is; the message says why.
    """
    reason = REFUSED.get(architecture)
    if reason is not None:
        raise StartupError(
            f"config.json: architectures: {architecture} is not served: {reason}; "
            "choose a model of another architecture"
        )
