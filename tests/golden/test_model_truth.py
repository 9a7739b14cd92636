"""No silent wrong: every variant of every architecture gives transformers' logits, or a refusal."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from engine_svc.core.errors import StartupError
from engine_svc.core.models.description import read_description
from engine_svc.core.models.family import Task
from engine_svc.core.models.loader import load_model
from engine_svc.core.runner.fms import FmsRunner
from tests.support.models import save_case
from tests.support.stepper import Sequence, Stepper
from tests.support.truth_cases import DECODERS, OTHERS, VOCAB_SIZE, TruthCase

NUM_NEW = 16
TOLERANCE = 1e-4
"""Of the greatest logit; float32 differs by about 1e-6, a wrong model by 1e-2 and more."""
CPU = torch.device("cpu")
_DRAW = random.Random(2)  # noqa: S311 - prompts, not secrets
# Every id occurs, the padding's too: it is a token like the others.
PROMPTS = [
    [0, 1, 2, 0, *(_DRAW.randrange(VOCAB_SIZE) for _ in range(length))] for length in (1, 33, 9)
]
Runners = Callable[[Path], FmsRunner]

SERVED = [case for case in DECODERS if case.refused is None]
REFUSED = [case for case in DECODERS if case.refused is not None] + list(OTHERS)
served = pytest.mark.parametrize("case", SERVED, ids=lambda case: case.name)
refused = pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)


def greedy(model: Any, prompt: list[int]) -> list[int]:
    """By a full forward pass per token: without any cache of the reference's."""
    tokens = list(prompt)
    for _ in range(NUM_NEW):
        logits = model(torch.tensor([tokens]), use_cache=False).logits[0, -1]
        tokens.append(int(logits.argmax()))
    return tokens[len(prompt) :]


@served
def test_logits_and_greedy_tokens_are_those_of_transformers(
    case: TruthCase, tmp_path: Path, runner_of: Runners
) -> None:
    """Over a whole sequence, and through the runner: ragged, in chunks, over blocks."""
    reference = save_case(tmp_path, case)
    description = read_description(tmp_path)
    loaded = load_model(
        description,
        task=Task.DECODER,
        dtype="float32",
        device=CPU,
        progress=lambda *_: None,
    )
    length = min(64, description.max_model_len)
    ids = torch.randint(VOCAB_SIZE, (1, length), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        expected = reference(ids, use_cache=False).logits
        logits = loaded.model(ids, position_ids=torch.arange(length)[None], attn_name="sdpa_causal")
        tokens = [greedy(reference, prompt) for prompt in PROMPTS]
    assert (logits - expected).abs().max() < TOLERANCE * expected.abs().max()
    assert len({token for output in tokens for token in output}) > 3, "a dull model"
    stepper = Stepper(runner_of(tmp_path))
    for chunk in (5, 1000):
        batch = [
            Sequence(prompt=prompt, num_new=NUM_NEW, arrives_at=idx)
            for idx, prompt in enumerate(PROMPTS)
        ]
        assert stepper.run(batch, chunk=chunk) == tokens


@refused
def test_what_would_be_computed_wrongly_is_refused(case: TruthCase, tmp_path: Path) -> None:
    """By the name and the value of the field, on one line, with something to do about it."""
    save_case(tmp_path, case)
    with pytest.raises(StartupError) as caught:
        load_model(
            read_description(tmp_path),
            task=Task.DECODER,
            dtype="float32",
            device=CPU,
            progress=lambda *_: None,
        )
    message = str(caught.value)
    assert message.startswith(f"config.json: {case.refused}")
    assert "\n" not in message
    assert "serve another model" in message or "choose a model of" in message
