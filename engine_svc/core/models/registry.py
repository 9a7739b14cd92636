"""Model families: from the class that config.json names to the FMS architecture that runs it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from engine_svc.core.errors import StartupError


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One architecture that is served."""

    architecture: str
    """The class in config.json's `architectures`."""
    model_type: str
    fms_architecture: str
    imported_fields: frozenset[str]
    """The fields of config.json whose value reaches FMS; `geometry.py` reads each of them."""


_DECODER_FIELDS = frozenset(
    {
        "attention_bias",
        "hidden_size",
        "intermediate_size",
        "max_position_embeddings",
        "mlp_bias",
        "num_attention_heads",
        "num_hidden_layers",
        "num_key_value_heads",
        "rms_norm_eps",
        "rope_parameters",
        "rope_theta",
        "tie_word_embeddings",
        "vocab_size",
    }
)
_GRANITE_MULTIPLIERS = frozenset(
    {"attention_multiplier", "embedding_multiplier", "logits_scaling", "residual_multiplier"}
)

_GRANITE = Family(
    architecture="GraniteForCausalLM",
    model_type="granite",
    fms_architecture="granite",
    imported_fields=_DECODER_FIELDS | _GRANITE_MULTIPLIERS,
)
_LLAMA = Family(
    architecture="LlamaForCausalLM",
    model_type="llama",
    fms_architecture="llama",
    imported_fields=_DECODER_FIELDS,
)

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {family.architecture: family for family in (_GRANITE, _LLAMA)}
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
