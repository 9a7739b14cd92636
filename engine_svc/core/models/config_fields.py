"""What becomes of each field of config.json: the words, and the fields that many families share.

A new field goes into a table only with a golden test or a look at the model's code; a field that
is in none is refused by its name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any

from engine_svc.core.models.config_values import Json

# Takes the value, JSON of any kind, and the whole of config.json.
Neutral = Callable[[Any, Json], bool]


class Verdict(Enum):
    """What becomes of a field."""

    SERVE = "serve"
    """Its value is computed as FMS computes it."""
    MEND = "mend"
    """FMS alone would compute it wrongly, or not at all; here it is computed rightly."""
    REFUSE = "refuse"
    """Only the values that change nothing are served."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """What becomes of one field in one family."""

    verdict: Verdict
    note: str = ""
    """How it is mended, why other than neutral values are refused, or why no value matters."""
    is_neutral: Neutral | None = None
    """For REFUSE only."""


def serve(*names: str) -> dict[str, Field]:
    """Fields that FMS computes rightly; the family's reader reads each of them."""
    return dict.fromkeys(names, Field(verdict=Verdict.SERVE))


def unused(reason: str, *names: str) -> dict[str, Field]:
    """Fields that nobody reads, whatever their values, in a model that is served at all."""
    return dict.fromkeys(names, Field(verdict=Verdict.SERVE, note=reason))


def mend(name: str, note: str) -> dict[str, Field]:
    """A field that is read, and needs something of ours beside FMS."""
    return {name: Field(verdict=Verdict.MEND, note=note)}


def refuse(name: str, reason: str, is_neutral: Neutral) -> dict[str, Field]:
    """A field that is served only where its value changes nothing."""
    return {name: Field(verdict=Verdict.REFUSE, note=reason, is_neutral=is_neutral)}


# JSON values of any kind.
def only(values: tuple[Any, ...]) -> Neutral:
    """Neutral values by equality and type: 1 is not true."""
    return lambda value, _: any(value == one and type(value) is type(one) for one in values)


# Metadata, training settings and generation defaults: the forward pass does not read them.
WITHOUT_EFFECT = frozenset(
    {
        "_attn_implementation_autoset",
        "_name_or_path",
        "architectures",
        "attention_dropout",
        "bos_token_id",
        "dtype",
        "eos_token_id",
        "initializer_range",
        "is_llama_config",
        "max_length",
        "name_or_path",
        "pad_token_id",
        "torch_dtype",
        "transformers.js_config",
        "transformers_version",
        "unsloth_fixed",
        "unsloth_version",
        "use_cache",
    }
)

_NO_CODE = "Steeple never runs code from a model directory"
_NO_WINDOW = "all layers attend to all positions"


def _is_all_full_attention(value: Any, _: Json) -> bool:
    return value is None or (
        isinstance(value, list) and all(layer == "full_attention" for layer in value)
    )


def _is_whole(value: Any, _: Json) -> bool:
    return value is None or (type(value) in (int, float) and value == 1)


EVERYWHERE: Mapping[str, Field] = MappingProxyType(
    refuse("add_cross_attention", "only decoders are served", only((None, False)))
    | refuse("attn_logit_softcapping", "scores are not capped", only((None,)))
    | refuse("auto_map", _NO_CODE, only((None,)))
    | refuse("final_logit_softcapping", "logits are not capped", only((None,)))
    | refuse("is_decoder", "must be true or false", only((False, True)))
    | refuse("is_encoder_decoder", "only decoders are served", only((False,)))
    | refuse("quantization_config", "quantised weights are not served", only((None,)))
    | refuse("trust_remote_code", _NO_CODE, only((None, False)))
)
"""Fields that any configuration may have."""

ROTATING: Mapping[str, Field] = MappingProxyType(
    dict(EVERYWHERE)
    | serve(
        "hidden_size",
        "max_position_embeddings",
        "num_attention_heads",
        "num_hidden_layers",
        "num_key_value_heads",
        "rms_norm_eps",
        "rope_theta",
        "tie_word_embeddings",
        "vocab_size",
    )
    | mend("intermediate_size", "any size, not multiples of 256 only")
    | mend("head_dim", "the weights are permuted head by head, whatever the hidden size")
    | mend("rope_parameters", "linear, llama3 and yarn are computed here; FMS drops the scaling")
    | mend("rope_scaling", "as rope_parameters, in the layout of transformers 4")
    | refuse("hidden_act", "only the silu activation is served", only(("silu", "swish")))
    | refuse("layer_types", _NO_WINDOW, _is_all_full_attention)
    | refuse("partial_rotary_factor", "whole heads are rotated", _is_whole)
    | refuse("pretraining_tp", "sliced projections are not computed", only((None, 1)))
    | refuse("rope_interleaved", "the halves of a head are rotated", only((None, False)))
    | refuse("sliding_window", _NO_WINDOW, only((None,)))
    | refuse("use_sliding_window", _NO_WINDOW, only((None, False)))
)
"""Fields of the decoders with a rotation, gated MLPs and RMS norms."""
