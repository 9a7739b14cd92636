"""No silent wrong: every encoder gives transformers' numbers, or is refused; none is served."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine_svc.core.errors import StartupError
from engine_svc.core.models.description import read_description
from engine_svc.core.models.encoder_inputs import encoder_inputs
from engine_svc.core.models.family import Task
from engine_svc.core.models.loader import LoadedModel, load_model
from engine_svc.core.runner.fms import FmsRunner
from tests.support.encoder_cases import ENCODERS, REFUSED_ENCODERS
from tests.support.models import save_case
from tests.support.refused_start import refused_start
from tests.support.truth_cases import VOCAB_SIZE, TruthCase

TOLERANCE = 1e-4
"""Of the greatest number; float32 differs by about 1e-6, a wrong model by 1e-2 and more."""
Runners = Callable[[Path], FmsRunner]

walked = pytest.mark.parametrize("case", ENCODERS, ids=lambda case: case.name)


def loaded(directory: Path) -> LoadedModel:
    return load_model(
        read_description(directory),
        task=Task.ENCODER,
        dtype="float32",
        device=torch.device("cpu"),
        progress=lambda *_: None,
    )


def ragged(longest: int) -> list[list[int]]:
    """Three texts, one of a single token; the padding's id occurs within a text too."""
    draw = random.Random(7)  # noqa: S311 - texts, not secrets
    lengths = (longest // 3, longest, 1)
    texts = [[draw.randrange(VOCAB_SIZE) for _ in range(length)] for length in lengths]
    texts[0][1:4] = [0, 1, 5]
    return texts


def padded(rows: list[list[int]], value: int) -> Tensor:
    """The rows side by side, filled up behind: what a tokenizer of transformers would give."""
    longest = max(map(len, rows))
    return torch.tensor([row + [value] * (longest - len(row)) for row in rows])


# transformers' models are untyped.
def assert_same_numbers(result: LoadedModel, reference: Any) -> None:
    """Three texts, one of the greatest length, with types and padding, at every real token."""
    encoder = result.geometry.encoder
    assert encoder is not None
    texts = ragged(result.geometry.max_len)
    num_types = encoder.num_token_types
    types = [[idx % num_types for idx in range(len(text))] for text in texts] if num_types else None
    mask = padded([[1] * len(text) for text in texts], 0)
    typed = {} if types is None else {"token_type_ids": padded(types, 0)}
    inputs = encoder_inputs(texts, encoder, token_types=types)
    with torch.no_grad():
        got = result.model(inputs.token_ids, **inputs.arguments())
        expected = reference(padded(texts, encoder.pad_id), attention_mask=mask, **typed)
    ours_all = got if isinstance(got, tuple) else (got,)
    for ours, theirs in zip(ours_all, expected.to_tuple(), strict=True):
        assert ours.shape == theirs.shape
        # What stands at padding means nothing.
        per_token = theirs.shape[:2] == mask.shape
        difference = (ours - theirs)[mask.bool()] if per_token else ours - theirs
        assert theirs.std() > 0.01, "a dull model"
        assert difference.abs().max() < TOLERANCE * theirs.abs().max()


@walked
def test_a_ragged_batch_gives_the_numbers_of_transformers(case: TruthCase, tmp_path: Path) -> None:
    """All that the maker's model returns: logits, or hidden states and their pooling."""
    reference = save_case(tmp_path, case)
    assert_same_numbers(loaded(tmp_path), reference)


@pytest.mark.parametrize("model_class", ["BertForMaskedLM", "RobertaModel", "MPNetModel"])
def test_a_checkpoint_of_the_first_years_is_read_as_transformers_reads_it(
    model_class: str, tmp_path: Path
) -> None:
    """Norms with gamma and beta, and a table of position ids, an integer each."""
    case = next(case for case in ENCODERS if case.model_class == model_class)
    save_case(tmp_path, case)
    path = tmp_path / "model.safetensors"
    held = {as_of_old(name): tensor.clone() for name, tensor in load_file(path).items()}
    prefix = "bert." if model_class == "BertForMaskedLM" else ""
    table = torch.arange(case.config["max_position_embeddings"])[None]
    save_file(held | {f"{prefix}embeddings.position_ids": table}, path, metadata={"format": "pt"})
    assert any(name.endswith("LayerNorm.gamma") for name in held)
    reference = getattr(transformers, model_class).from_pretrained(tmp_path).eval()
    assert_same_numbers(loaded(tmp_path), reference)


def as_of_old(name: str) -> str:
    """The name that a norm's parameter had."""
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
        "LayerNorm.bias", "LayerNorm.beta"
    )


@walked
def test_the_engine_refuses_to_serve_it(
    case: TruthCase, tmp_path: Path, runner_of: Runners
) -> None:
    """On one line that says why, and what would do."""
    save_case(tmp_path, case)
    with pytest.raises(StartupError) as caught:
        runner_of(tmp_path)
    message = str(caught.value)
    assert message.startswith(
        f"config.json: architectures: {case.model_class} is an encoder; "
        "this engine serves decoders only; choose a model of GPTBigCodeForCausalLM, "
    )
    assert "\n" not in message
    assert "Bert" not in message.partition("choose")[2]


def test_the_engine_does_not_start_on_an_encoder(tmp_path: Path) -> None:
    """The same as one line of a process that ends at once, with status 2."""
    model = tmp_path / "model"
    save_case(model, ENCODERS[0])
    assert "is an encoder; this engine serves decoders only" in refused_start(model)


@pytest.mark.parametrize("case", REFUSED_ENCODERS, ids=lambda case: case.name)
def test_what_would_be_computed_wrongly_is_refused(case: TruthCase, tmp_path: Path) -> None:
    """By the name and the value of the field."""
    save_case(tmp_path, case)
    with pytest.raises(StartupError) as caught:
        loaded(tmp_path)
    assert str(caught.value).startswith(f"config.json: {case.refused}")
