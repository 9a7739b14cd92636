"""The fields of config.json that FMS does not import, and when that changes nothing.

A new field goes into one of the two tables only with a golden test or a look at the model's code.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from engine_svc.core.models.description import Json

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A field that is served only where its value changes nothing."""

    # A JSON value of any kind.
    is_neutral: Callable[[Any, Json], bool]
    """Takes the value and the whole of config.json."""
    reason: str
    """Why other values are refused."""


def _only(values: tuple[Any, ...]) -> Callable[[Any, Json], bool]:
    """Neutral values by equality and type: 1 is not true."""
    return lambda value, _: any(value == one and type(value) is type(one) for one in values)


def _is_default_rope(value: Any, _: Json) -> bool:
    if value is None:
        return True
    kind = value.get("rope_type", value.get("type")) if isinstance(value, dict) else None
    return kind == "default" and set(value) <= {"rope_type", "type"}


def _is_plain_head_dim(value: Any, config: Json) -> bool:
    heads, hidden = config.get("num_attention_heads"), config.get("hidden_size")
    if value is None:
        return True
    numbers = (value, heads, hidden)
    return all(type(number) is int for number in numbers) and value * heads == hidden


def _is_all_full_attention(value: Any, _: Json) -> bool:
    return value is None or (
        isinstance(value, list) and all(layer == "full_attention" for layer in value)
    )


_NO_CODE = "Steeple never runs code from a model directory"
_NO_WINDOW = "FMS computes full attention"
_NO_QUANTIZATION = "quantised weights are not served"

CONDITIONS: Mapping[str, Condition] = MappingProxyType(
    {
        "add_cross_attention": Condition(
            is_neutral=_only((False,)), reason="only decoders are served"
        ),
        "auto_map": Condition(is_neutral=_only((None,)), reason=_NO_CODE),
        "head_dim": Condition(
            is_neutral=_is_plain_head_dim,
            reason="FMS needs head_dim = hidden_size / num_attention_heads",
        ),
        "hidden_act": Condition(
            is_neutral=_only(("silu", "swish")), reason="only the silu activation is served"
        ),
        "is_decoder": Condition(is_neutral=_only((False, True)), reason="must be true or false"),
        "is_encoder_decoder": Condition(
            is_neutral=_only((False,)), reason="only decoders are served"
        ),
        "layer_types": Condition(is_neutral=_is_all_full_attention, reason=_NO_WINDOW),
        "partial_rotary_factor": Condition(
            is_neutral=_only((None, 1, 1.0)), reason="FMS rotates whole heads"
        ),
        "pretraining_tp": Condition(
            is_neutral=_only((None, 1)), reason="sliced projections are not computed"
        ),
        "quantization_config": Condition(is_neutral=_only((None,)), reason=_NO_QUANTIZATION),
        "rope_interleaved": Condition(
            is_neutral=_only((None, False)), reason="FMS rotates the halves of a head"
        ),
        "rope_scaling": Condition(
            is_neutral=_is_default_rope, reason="FMS drops rope scaling without a word"
        ),
        "sliding_window": Condition(is_neutral=_only((None,)), reason=_NO_WINDOW),
        "trust_remote_code": Condition(is_neutral=_only((None, False)), reason=_NO_CODE),
        "use_sliding_window": Condition(is_neutral=_only((None, False)), reason=_NO_WINDOW),
    }
)
