"""What a model directory says about itself is read strictly."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine_svc.core.errors import StartupError
from engine_svc.core.models.description import (
    ModelDescription,
    model_fingerprint,
    read_description,
)

# A JSON object.
Json = dict[str, Any]
CONFIG: Json = {
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 97,
    "max_position_embeddings": 128,
    "eos_token_id": 2,
}


def described(tmp_path: Path, config: Json, generation: Json | None = None) -> ModelDescription:
    (tmp_path / "config.json").write_text(json.dumps(config))
    if generation is not None:
        (tmp_path / "generation_config.json").write_text(json.dumps(generation))
    return read_description(tmp_path)


def test_the_generation_config_names_the_end_tokens(tmp_path: Path) -> None:
    """It lists the end of a turn beside the end of text."""
    generation = {"eos_token_id": [7, 2, 7]}
    assert described(tmp_path, CONFIG, generation).eos_token_ids == (2, 7)


@pytest.mark.parametrize("generation", [None, {}, {"eos_token_id": None}])
def test_the_config_names_them_where_it_does_not(tmp_path: Path, generation: Json | None) -> None:
    """A null is no answer."""
    assert described(tmp_path, CONFIG, generation).eos_token_ids == (2,)


def test_a_model_may_have_no_end_token(tmp_path: Path) -> None:
    """Then only limits end its outputs."""
    assert described(tmp_path, CONFIG | {"eos_token_id": None}).eos_token_ids == ()


def test_the_models_own_sampling_is_the_default(tmp_path: Path) -> None:
    """Nulls and missing values are ours."""
    generation = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "top_k": None}
    sampling = described(tmp_path, CONFIG, generation).default_sampling
    assert (sampling.temperature, sampling.top_p) == (0.6, 0.9)
    assert (sampling.top_k, sampling.min_p) == (0, 0.0)
    assert described(tmp_path, CONFIG, {"do_sample": False}).default_sampling.is_greedy


@pytest.mark.parametrize("do_sample", [True, False])
def test_the_models_own_penalty_counts_whether_it_draws_or_not(
    tmp_path: Path, *, do_sample: bool
) -> None:
    """What is about drawing means nothing to a greedy model."""
    generation = {"do_sample": do_sample, "repetition_penalty": 1.25, "typical_p": 0.5}
    sampling = described(tmp_path, CONFIG, generation).default_sampling
    assert sampling.repetition_penalty == 1.25
    assert sampling.typical_p == (0.5 if do_sample else 1.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", "hot"),
        ("temperature", float("nan")),
        ("top_k", -1),
        ("top_k", 2.5),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("typical_p", 0.0),
        ("repetition_penalty", 0),
        ("repetition_penalty", 11),
        ("min_p", -0.1),
        ("min_p", True),
        ("eos_token_id", "</s>"),
        ("eos_token_id", [2, None]),
        ("eos_token_id", -1),
        ("eos_token_id", 1_000_000),
    ],
)
def test_a_wrong_default_is_refused(tmp_path: Path, name: str, value: object) -> None:
    """The file and the field are named."""
    with pytest.raises(StartupError, match=rf"generation_config\.json: {name}"):
        described(tmp_path, CONFIG, {name: value})


@pytest.mark.parametrize("architectures", [None, [], ["A", "B"], "A"])
def test_exactly_one_architecture_is_needed(tmp_path: Path, architectures: object) -> None:
    """Which of two would it be?"""
    with pytest.raises(StartupError, match="architectures must name exactly one class"):
        described(tmp_path, CONFIG | {"architectures": architectures})


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_config_that_is_no_json_object_is_refused(tmp_path: Path, content: bytes) -> None:
    """Cut, of another kind, not text, or nested without end."""
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(StartupError, match=r"config\.json is not"):
        read_description(tmp_path)


def test_a_missing_directory_or_config_is_named(tmp_path: Path) -> None:
    """With the remedy."""
    with pytest.raises(StartupError, match=r"no model directory .* pass --model DIR"):
        read_description(tmp_path / "nowhere")
    with pytest.raises(StartupError, match=r"config\.json: there is no such file"):
        read_description(tmp_path)


def test_the_fingerprint_changes_with_each_of_its_parts(tmp_path: Path) -> None:
    """Configuration, number format, headers; the order of fields does not count."""
    plain = described(tmp_path, CONFIG)
    prints = {
        model_fingerprint(plain, dtype="float32", headers=b"x"),
        model_fingerprint(plain, dtype="bfloat16", headers=b"x"),
        model_fingerprint(plain, dtype="float32", headers=b"y"),
        model_fingerprint(
            described(tmp_path, CONFIG | {"vocab_size": 98}), dtype="float32", headers=b"x"
        ),
    }
    assert len(prints) == 4
    turned = described(tmp_path, dict(reversed(CONFIG.items())))
    assert model_fingerprint(turned, dtype="float32", headers=b"x") in prints


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 128),
        ({"sliding_window": None}, 128),
        ({"sliding_window": 64}, 64),
        ({"sliding_window": 4096}, 128),
        ({"sliding_window": 64, "use_sliding_window": True}, 64),
        ({"sliding_window": 64, "use_sliding_window": False}, 128),
        ({"n_positions": 96}, 96),
    ],
)
def test_no_sequence_grows_beyond_positions_or_window(
    tmp_path: Path, fields: dict[str, object], expected: int
) -> None:
    """Within the window all attention is full attention, which is what is computed."""
    assert described(tmp_path, CONFIG | fields).max_model_len == expected
