"""Tiny random models in a directory, as transformers saves them."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import GraniteConfig, GraniteForCausalLM, LlamaConfig, LlamaForCausalLM

from tests.support.truth_cases import TruthCase

VOCAB_SIZE = 97
MAX_POSITIONS = 128
_DIMENSIONS = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": MAX_POSITIONS,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_CLASSES = {
    "granite": (GraniteConfig, GraniteForCausalLM),
    "llama": (LlamaConfig, LlamaForCausalLM),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyModel:
    """How one tiny model differs from the others."""

    name: str
    family: str
    # Keyword arguments of transformers' config classes.
    config: dict[str, Any] = field(default_factory=dict)


_MULTIPLIERS = {
    "embedding_multiplier": 3.0,
    "logits_scaling": 2.0,
    "residual_multiplier": 0.7,
    "attention_multiplier": 0.2,
}
GRANITE = TinyModel(name="granite", family="granite", config=_MULTIPLIERS)
LLAMA = TinyModel(name="llama", family="llama")
TINY_MODELS = (
    GRANITE,
    LLAMA,
    TinyModel(
        name="granite-tied-biased",
        family="granite",
        config=_MULTIPLIERS
        | {
            # A tied model with large embeddings only repeats its last token.
            "embedding_multiplier": 0.5,
            "tie_word_embeddings": True,
            "attention_bias": True,
            "mlp_bias": True,
        },
    ),
    TinyModel(
        name="llama-mha-tied-biased",
        family="llama",
        config={
            "num_key_value_heads": 4,
            "tie_word_embeddings": True,
            "attention_bias": True,
            "mlp_bias": True,
        },
    ),
    TinyModel(
        name="llama-mqa-theta",
        family="llama",
        config={
            "num_key_value_heads": 1,
            "rope_parameters": {"rope_type": "default", "rope_theta": 5e5},
        },
    ),
)


def save_model(directory: Path, tiny: TinyModel, **save: object) -> Path:
    """Write config.json and weights; the same numbers every time.

    Args:
        directory: made if it is not there.
        tiny: which model.
        save: for transformers' save_pretrained.
    """
    config_class, model_class = _CLASSES[tiny.family]
    save_random(directory, model_class(config_class(**(_DIMENSIONS | tiny.config))), **save)
    return directory


# transformers' models are untyped.
def save_case(directory: Path, case: TruthCase) -> Any:
    """Write a case's model; returned is transformers', in evaluation."""
    model_class: Any = getattr(transformers, case.model_class)
    return save_random(directory, model_class(model_class.config_class(**case.config)))


# transformers' models are untyped.
def save_random(directory: Path, model: Any, **save: object) -> Any:
    """Give a model of transformers' weights, the same every time, write it, and return it.

    All are drawn, biases too, and norms around 1: what is lost or swapped shows in the logits.
    """
    numbers = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, param in model.named_parameters():
            is_scale = name.endswith("weight") and ("norm" in name.lower() or "ln_" in name)
            centre = 1.0 if is_scale else 0.0
            param.copy_(torch.randn(param.shape, generator=numbers) * 0.25 + centre)
    model.tie_weights()
    model.save_pretrained(directory, **save)
    return model.eval()


def edit_config(directory: Path, remove: tuple[str, ...] = (), **changes: object) -> None:
    """Change and remove fields of config.json."""
    path = directory / "config.json"
    config = json.loads(path.read_bytes())
    kept = {name: value for name, value in config.items() if name not in remove}
    path.write_text(json.dumps(kept | changes))


def to_classic_layout(directory: Path) -> None:
    """Rewrite config.json as transformers 4 wrote it: rope_theta at the top level."""
    rope = json.loads((directory / "config.json").read_bytes())["rope_parameters"]
    edit_config(
        directory, remove=("rope_parameters",), rope_theta=rope["rope_theta"], rope_scaling=None
    )
