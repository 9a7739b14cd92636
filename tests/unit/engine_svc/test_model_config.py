"""A configuration is served only if every field of it is known to be computed rightly."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine_svc.core.errors import StartupError
from engine_svc.core.models.config_check import read_geometry
from engine_svc.core.models.config_fields import WITHOUT_EFFECT, Verdict
from engine_svc.core.models.description import ModelDescription, read_description
from engine_svc.core.models.family import Task
from engine_svc.core.models.geometry import Geometry
from engine_svc.core.models.registry import DECODERS, FAMILIES
from engine_svc.core.models.rope import LinearScaling, Llama3Scaling, Rope, YarnScaling

# A JSON object, as in config.json.
Config = dict[str, Any]

LLAMA: Config = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "vocab_size": 97,
}
GRANITE: Config = LLAMA | {
    "architectures": ["GraniteForCausalLM"],
    "model_type": "granite",
    "attention_multiplier": 0.125,
    "embedding_multiplier": 12,
    "logits_scaling": 8.0,
    "residual_multiplier": 0.22,
}


def described(tmp_path: Path, config: Config) -> ModelDescription:
    (tmp_path / "config.json").write_text(json.dumps(config))
    return read_description(tmp_path)


def geometry_of(tmp_path: Path, config: Config) -> Geometry:
    return read_geometry(described(tmp_path, config), Task.DECODER)[1]


def test_a_plain_config_has_the_defaults_of_transformers(tmp_path: Path) -> None:
    """Fields that old checkpoints leave out."""
    del (config := dict(LLAMA))["num_key_value_heads"]
    geometry = geometry_of(tmp_path, config)
    assert geometry.num_kv_heads == 4
    assert geometry.rope == Rope(theta=10_000.0)
    assert geometry.head_dim == 8
    assert not geometry.has_tied_embeddings
    assert not geometry.has_attention_bias
    assert geometry.multipliers.attention is None
    assert geometry.kv_bytes_per_token(item_bytes=2) == 2 * 2 * 4 * 8 * 2


def test_the_four_multipliers_are_read(tmp_path: Path) -> None:
    """Granite's own; integers are numbers too."""
    multipliers = geometry_of(tmp_path, GRANITE).multipliers
    assert (multipliers.attention, multipliers.embedding) == (0.125, 12.0)
    assert (multipliers.logits_divisor, multipliers.residual) == (8.0, 0.22)


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_theta": 5e5},
        {"rope_theta": 500000, "rope_scaling": None},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}},
        {"rope_parameters": {"rope_theta": 5e5, "partial_rotary_factor": 1.0}},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}, "rope_theta": 5e5},
        {"rope_parameters": {"rope_type": "default"}, "rope_theta": 5e5},
        {"rope_parameters": None, "rope_theta": 5e5},
    ],
)
def test_theta_is_read_from_either_layout(tmp_path: Path, rope: Config) -> None:
    """Top level as transformers 4 writes it, or inside rope_parameters."""
    assert geometry_of(tmp_path, LLAMA | rope).rope == Rope(theta=5e5)


NEUTRAL: dict[str, Config] = {
    "metadata": dict.fromkeys(WITHOUT_EFFECT - {"architectures"}),
    "dropout": {"attention_dropout": 0.1},
    "head_dim": {"head_dim": 8},
    "swish": {"hidden_act": "swish"},
    "no scaling": {"rope_scaling": {"type": "default"}},
    "full attention": {"layer_types": ["full_attention"] * 2, "sliding_window": None},
    "no code": {"auto_map": None, "quantization_config": None},
    "one slice": {"pretraining_tp": 1},
}


@pytest.mark.parametrize("fields", NEUTRAL.values(), ids=NEUTRAL)
@pytest.mark.parametrize("config", [LLAMA, GRANITE], ids=["llama", "granite"])
def test_fields_without_effect_are_accepted(tmp_path: Path, config: Config, fields: Config) -> None:
    """They change nothing in what is read."""
    assert geometry_of(tmp_path, config | fields) == geometry_of(tmp_path, config)


LINEAR = {"rope_type": "linear", "factor": 2.0}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
SCALINGS: dict[str, tuple[Config, object]] = {
    "linear": (LINEAR, LinearScaling(factor=2.0)),
    "dynamic": ({"rope_type": "dynamic", "factor": 2.0}, None),
    "llama3": (
        LLAMA3,
        Llama3Scaling(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_positions=32),
    ),
    "yarn": (
        YARN | {"attention_factor": 1.5, "beta_fast": 16, "truncate": False},
        YarnScaling(
            factor=4.0,
            original_positions=32,
            beta_fast=16.0,
            beta_slow=1.0,
            rounds_range=False,
            attention_factor=1.5,
        ),
    ),
}


@pytest.mark.parametrize(("fields", "scaling"), SCALINGS.values(), ids=SCALINGS)
def test_a_scaling_is_read_from_either_layout(
    tmp_path: Path, fields: Config, scaling: object
) -> None:
    """Transformers 4 has rope_scaling and theta beside it, and called rope_type type."""
    classic = dict(fields)
    classic["type"] = classic.pop("rope_type")
    for rope in (
        {"rope_parameters": fields | {"rope_theta": 5e5}},
        {"rope_scaling": fields, "rope_theta": 5e5},
        {"rope_scaling": classic, "rope_theta": 5e5},
    ):
        read = geometry_of(tmp_path, LLAMA | rope).rope
        assert read is not None
        assert (read.theta, read.scaling) == (5e5, scaling)


REFUSED_FIELDS: dict[str, tuple[str, Config]] = {
    "unknown": ("frobnicate = 1", {"frobnicate": 1}),
    "longrope": (
        "rope_scaling.rope_type = 'longrope'",
        {"rope_scaling": {"type": "longrope", "short_factor": [1.0], "long_factor": [2.0]}},
    ),
    "scaling with extras": (
        "rope_scaling.factor",
        {"rope_scaling": {"type": "default", "factor": 2.0}},
    ),
    "scaling of no name": ("rope_parameters.rope_type", {"rope_parameters": {"rope_type": ["x"]}}),
    "two scalings": ("rope_scaling", {"rope_scaling": LINEAR, "rope_parameters": LINEAR}),
    "llama3 without context": (
        "original_max_position_embeddings = None",
        {"rope_parameters": LLAMA3 | {"original_max_position_embeddings": None}},
    ),
    "llama3 without band": (
        "low_freq_factor = 4.0",
        {"rope_parameters": LLAMA3 | {"low_freq_factor": 4.0}},
    ),
    "yarn without factor": ("factor = None", {"rope_parameters": YARN | {"factor": None}}),
    "yarn of another": (
        "rope_parameters.short_factor",
        {"rope_parameters": YARN | {"short_factor": [1.0]}},
    ),
    "factor": ("rope_parameters.factor", {"rope_parameters": {"rope_theta": 1e4, "factor": 2.0}}),
    "partial rotation": ("partial_rotary_factor", {"partial_rotary_factor": 0.5}),
    "nested partial rotation": (
        "rope_parameters.partial_rotary_factor",
        {"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}},
    ),
    "per layer rope": (
        "rope_parameters.full_attention",
        {"rope_parameters": {"full_attention": {"rope_theta": 1e4}}},
    ),
    "two thetas": (
        "rope_theta",
        {"rope_theta": 1e4, "rope_parameters": {"rope_theta": 5e5}},
    ),
    "rope list": ("rope_parameters", {"rope_parameters": [1e4]}),
    "odd head_dim": ("head_dim = 15", {"head_dim": 15}),
    "head_dim text": ("head_dim", {"head_dim": "8"}),
    "activation": ("hidden_act = 'gelu'", {"hidden_act": "gelu"}),
    "quantised": ("quantization_config", {"quantization_config": {"quant_method": "gptq"}}),
    "remote code": ("auto_map", {"auto_map": {"AutoModel": "modeling.Evil"}}),
    "trusting": ("trust_remote_code", {"trust_remote_code": True}),
    "window": ("sliding_window = 16", {"sliding_window": 16}),
    "window switch": ("use_sliding_window", {"use_sliding_window": True}),
    "layer types": ("layer_types", {"layer_types": ["full_attention", "sliding_attention"]}),
    "slices": ("pretraining_tp", {"pretraining_tp": 2}),
    "interleaved": ("rope_interleaved", {"rope_interleaved": True}),
    "encoder": ("is_encoder_decoder", {"is_encoder_decoder": True}),
    "capped scores": ("attn_logit_softcapping", {"attn_logit_softcapping": 50.0}),
    "capped logits": ("final_logit_softcapping", {"final_logit_softcapping": 30.0}),
    "cross attention": ("add_cross_attention", {"add_cross_attention": True}),
    "model type": ("model_type", {"model_type": "mistral"}),
    "no heads": ("num_attention_heads", {"num_attention_heads": 0}),
    "uneven heads": ("hidden_size = 32", {"num_attention_heads": 3, "num_key_value_heads": 3}),
    "odd head": ("hidden_size = 32", {"num_attention_heads": 32}),
    "uneven groups": ("num_key_value_heads = 3", {"num_key_value_heads": 3}),
    "boolean number": ("num_hidden_layers = True", {"num_hidden_layers": True}),
    "too many layers": ("num_hidden_layers = 1000000", {"num_hidden_layers": 10**6}),
    "float size": ("intermediate_size = 48.0", {"intermediate_size": 48.0}),
    "missing size": ("intermediate_size = None", {"intermediate_size": None}),
    "epsilon": ("rms_norm_eps = 0", {"rms_norm_eps": 0}),
    "infinite theta": ("rope_theta = inf", {"rope_theta": float("inf")}),
    "text flag": ("tie_word_embeddings = 'yes'", {"tie_word_embeddings": "yes"}),
}


@pytest.mark.parametrize(("named", "change"), REFUSED_FIELDS.values(), ids=REFUSED_FIELDS)
@pytest.mark.parametrize("config", [LLAMA, GRANITE], ids=["llama", "granite"])
def test_a_field_that_would_be_computed_wrongly_is_refused(
    tmp_path: Path, config: Config, named: str, change: Config
) -> None:
    """The message names the field and its value."""
    with pytest.raises(StartupError) as caught:
        geometry_of(tmp_path, config | change)
    assert str(caught.value).startswith(f"config.json: {named}")


def test_every_condition_has_a_refused_example() -> None:
    """A condition that is never false would be a field without effect."""
    shown = {name for _, change in REFUSED_FIELDS.values() for name in change}
    for architecture in ("GraniteForCausalLM", "LlamaForCausalLM"):
        fields = FAMILIES[architecture].fields
        refused = {name for name, field in fields.items() if field.verdict is Verdict.REFUSE}
        # Both values of is_decoder are harmless: only other kinds are refused.
        assert refused - shown == {"is_decoder"}


def test_multipliers_belong_to_granite_only(tmp_path: Path) -> None:
    """FMS's llama would ignore them."""
    with pytest.raises(StartupError, match=r"config\.json: logits_scaling = 8\.0 is not served"):
        geometry_of(tmp_path, LLAMA | {"logits_scaling": 8.0})


def test_a_multiplier_of_zero_is_refused(tmp_path: Path) -> None:
    """Logits would be divided by it."""
    with pytest.raises(StartupError, match="logits_scaling = 0 must be a positive number"):
        geometry_of(tmp_path, GRANITE | {"logits_scaling": 0})


def test_another_architecture_is_refused_with_the_list(tmp_path: Path) -> None:
    """The message tells what is served."""
    with pytest.raises(StartupError) as caught:
        geometry_of(tmp_path, LLAMA | {"architectures": ["MambaForCausalLM"]})
    for name in ("MambaForCausalLM", *(family.architecture for family in DECODERS)):
        assert name in str(caught.value)


def test_long_values_are_cut_in_messages(tmp_path: Path) -> None:
    """A whole quantisation recipe would hide the remedy."""
    with pytest.raises(StartupError) as caught:
        geometry_of(tmp_path, LLAMA | {"quantization_config": {"modules": ["x"] * 1000}})
    assert len(str(caught.value)) < 300
    assert "serve another model" in str(caught.value)


def test_the_geometry_knows_every_imported_field(tmp_path: Path) -> None:
    """No field counts as imported without changing what is read."""
    changes: Config = {
        "attention_bias": True,
        "attention_multiplier": 0.5,
        "embedding_multiplier": 0.5,
        "head_dim": 16,
        "hidden_size": 64,
        "intermediate_size": 49,
        "logits_scaling": 0.5,
        "max_position_embeddings": 129,
        "mlp_bias": True,
        "num_attention_heads": 8,
        "num_hidden_layers": 3,
        "num_key_value_heads": 1,
        "residual_multiplier": 0.5,
        "rms_norm_eps": 0.5,
        "rope_parameters": {"rope_theta": 0.5},
        "rope_scaling": LINEAR,
        "rope_theta": 0.5,
        "tie_word_embeddings": True,
        "vocab_size": 98,
    }
    plain = geometry_of(tmp_path, GRANITE)
    fields = FAMILIES["GraniteForCausalLM"].fields
    assert changes.keys() == {
        name for name, field in fields.items() if field.verdict is not Verdict.REFUSE
    }
    for name, value in changes.items():
        assert geometry_of(tmp_path, GRANITE | {name: value}) != plain, name
    assert replace(plain) == plain
