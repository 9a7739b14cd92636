"""The rows of the walk through FMS's architectures: tiny configurations and what becomes of them.

Each is written by transformers, so that config.json is what a model's maker would have.
"""

from dataclasses import dataclass
from typing import Any

# Keyword arguments of transformers' config classes.
Fields = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthCase:
    """One variant of one architecture."""

    name: str
    model_class: str
    """A class of transformers."""
    config: Fields
    refused: str | None = None
    """What the refusal begins with, after the file's name; None = served with equal logits."""


VOCAB_SIZE = 97
_WORDS: Fields = {
    "vocab_size": VOCAB_SIZE,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_SHAPE: Fields = _WORDS | {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
_BIGCODE: Fields = _WORDS | {"n_embd": 40, "n_layer": 2, "n_head": 4, "n_positions": 128}
_MULTIPLIERS: Fields = {
    "embedding_multiplier": 3.0,
    "logits_scaling": 2.0,
    "residual_multiplier": 0.7,
    "attention_multiplier": 0.2,
}
_DENSE: Fields = {
    "num_local_experts": 0,
    "num_experts_per_tok": 0,
    "layer_types": ["full_attention"] * 2,
    "shared_intermediate_size": 56,
    "mamba_n_heads": 4,
    "mamba_d_head": 16,
    **_MULTIPLIERS,
}


def _rope(kind: str, **fields: Any) -> Fields:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10_000.0, **fields}}


_THETA = {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}
_LINEAR = _rope("linear", factor=2.0)
_DYNAMIC = _rope("dynamic", factor=2.0)
_LLAMA3 = _rope(
    "llama3",
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=32,
)
_YARN = _rope("yarn", factor=4.0, original_max_position_embeddings=32)
_YARN_FULL = _rope(
    "yarn",
    factor=8.0,
    original_max_position_embeddings=16,
    beta_fast=8.0,
    beta_slow=0.5,
    mscale=1.0,
    mscale_all_dim=0.5,
    truncate=False,
)
_LONGROPE = _rope(
    "longrope",
    factor=4.0,
    short_factor=[1.0] * 4,
    long_factor=[2.0] * 4,
    original_max_position_embeddings=32,
)
_WIDE = {"head_dim": 16}
_TIED = {"tie_word_embeddings": True}
_ATTENTION_BIAS = {"attention_bias": True}
_BIASES = _ATTENTION_BIAS | {"mlp_bias": True}
_MHA, _MQA = {"num_key_value_heads": 4}, {"num_key_value_heads": 1}
_ROPE_TYPE = "rope_parameters.rope_type = "


def _cases(model: str, base: Fields, variants: dict[str, Fields]) -> tuple[TruthCase, ...]:
    model_class = f"{model}ForCausalLM"
    return tuple(
        TruthCase(name=f"{model}-{name}", model_class=model_class, config=base | change)
        for name, change in variants.items()
    )


def _refused(
    model: str, base: Fields, variants: dict[str, tuple[str, Fields]]
) -> tuple[TruthCase, ...]:
    return tuple(
        TruthCase(
            name=f"{model}-{name}",
            model_class=f"{model}ForCausalLM",
            config=base | change,
            refused=refused,
        )
        for name, (refused, change) in variants.items()
    )


_LLAMA = _cases(
    "Llama",
    _SHAPE,
    {
        "plain": {},
        "tied": _TIED,
        "mha": _MHA,
        "mqa": _MQA,
        "biases": _BIASES,
        "theta": _THETA,
        "head_dim": _WIDE,
        "head_dim-tied-biases-mqa": _WIDE | _TIED | _BIASES | _MQA,
        "odd-inner-size": {"intermediate_size": 53},
        "rope-linear": _LINEAR,
        "rope-dynamic": _DYNAMIC,
        "rope-llama3": _LLAMA3,
        "rope-llama3-head_dim": _LLAMA3 | _WIDE,
        "rope-yarn": _YARN,
        "rope-yarn-in-full": _YARN_FULL,
    },
) + _refused(
    "Llama",
    _SHAPE,
    {
        "rope-longrope": (f"{_ROPE_TYPE}'longrope'", _LONGROPE),
        "activation": ("hidden_act = 'gelu'", {"hidden_act": "gelu"}),
    },
)
_GRANITE = _cases(
    "Granite",
    _SHAPE | _MULTIPLIERS,
    {
        "plain": {},
        "tied": _TIED | {"embedding_multiplier": 0.5},
        "biases": _BIASES,
        "mqa": _MQA,
        "head_dim": _WIDE,
        "rope-linear": _LINEAR,
        "rope-llama3": _LLAMA3,
        "rope-yarn": _YARN,
    },
)
_GRANITE_HYBRID = _cases(
    "GraniteMoeHybrid",
    _SHAPE | _DENSE,
    {
        "rope": {"position_embedding_type": "rope"},
        "nope": {"position_embedding_type": None},
        "rope-llama3": {"position_embedding_type": "rope"} | _LLAMA3,
        "tied-bias": _TIED | _ATTENTION_BIAS | {"embedding_multiplier": 0.5},
    },
) + _refused(
    "GraniteMoeHybrid",
    _SHAPE | _DENSE,
    {
        "experts": (
            "num_local_experts = 4",
            {"num_local_experts": 4, "num_experts_per_tok": 2},
        ),
        "mamba": ("layer_types", {"layer_types": ["linear_attention", "full_attention"]}),
    },
)
_GPT_BIGCODE = _cases(
    "GPTBigCode",
    _BIGCODE,
    {
        "mqa": {},
        "untied": {"tie_word_embeddings": False},
        "mha": {"multi_query": False},
        "mha-untied-gelu": {
            "multi_query": False,
            "tie_word_embeddings": False,
            "activation_function": "gelu",
        },
        "inner-size": {"n_inner": 50},
    },
) + _refused(
    "GPTBigCode",
    _BIGCODE,
    {
        "unscaled": ("scale_attn_weights = False", {"scale_attn_weights": False}),
        "activation": ("activation_function = 'silu'", {"activation_function": "silu"}),
    },
)
_MISTRAL = _cases(
    "Mistral",
    _SHAPE | {"sliding_window": None},
    {
        "plain": {},
        "head_dim": _WIDE,
        "tied": _TIED,
        "odd-inner-size": {"intermediate_size": 300},
        "window": {"sliding_window": 64},
        "rope-yarn": _YARN,
    },
)
_QWEN3 = _cases(
    "Qwen3",
    _SHAPE | {"head_dim": 8},
    {
        "fms-theta": {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
        "other-theta": {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}},
        "tied": _TIED,
        "head_dim": _WIDE,
        "bias": _ATTENTION_BIAS | _WIDE,
        "odd-inner-size": {"intermediate_size": 300},
        "window": {"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 1},
        "rope-yarn": _YARN,
    },
)
_MIXTRAL_SHAPE = _SHAPE | {"num_local_experts": 4, "num_experts_per_tok": 2}
_MIXTRAL = _cases(
    "Mixtral",
    _MIXTRAL_SHAPE,
    {
        "plain": {},
        "mqa": _MQA,
        "window": {"sliding_window": 64},
        "one-of-three": {"num_local_experts": 3, "num_experts_per_tok": 1},
        # transformers computes YaRN only where head_dim is given.
        "rope-yarn": _YARN | {"head_dim": 8},
    },
) + _refused(
    "Mixtral",
    _MIXTRAL_SHAPE,
    {
        "tied": ("tie_word_embeddings = True", _TIED),
        "head_dim": ("head_dim = 16", _WIDE),
    },
)

DECODERS = _LLAMA + _GRANITE + _GRANITE_HYBRID + _GPT_BIGCODE + _MISTRAL + _MIXTRAL + _QWEN3
"""The architectures that are served, in all the variants where FMS alone was ever wrong."""

_TEXT: Fields = _SHAPE | {"head_dim": 8}
_VISION: Fields = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "image_size": 28,
    "patch_size": 14,
}
_IMAGES: Fields = {"vision_config": _VISION | {"model_type": "pixtral"}, "image_token_index": 5}


def _whole(model_class: str, config: Fields, variant: str = "any") -> TruthCase:
    return TruthCase(
        name=f"{model_class}-{variant}",
        model_class=model_class,
        config=config,
        refused=f"architectures: {model_class} is not served",
    )


OTHERS = (
    _whole("BambaForCausalLM", _SHAPE | {"attn_layer_indices": [1], "mamba_n_heads": 4}),
    _whole("GptOssForCausalLM", _SHAPE | _WIDE | {"num_local_experts": 4}),
    _whole("GraniteMoeForCausalLM", _MIXTRAL_SHAPE),
    _whole("GraniteSWAForCausalLM", _SHAPE | _MULTIPLIERS),
    _whole("Qwen2ForCausalLM", _SHAPE),
    _whole(
        "LlavaNextForConditionalGeneration",
        _IMAGES | {"text_config": _TEXT | {"model_type": "granite"}},
    ),
    _whole(
        "Mistral3ForConditionalGeneration",
        _IMAGES | {"text_config": _TEXT | {"model_type": "mistral"}},
    ),
    _whole("MPNetForMaskedLM", _SHAPE),
    _whole("SiglipModel", {"text_config": _SHAPE, "vision_config": _VISION}),
)
"""The architectures that are refused as a whole, as decoders."""
