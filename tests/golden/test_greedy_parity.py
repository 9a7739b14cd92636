"""Greedy tokens are those of FMS's own generate and of transformers, whatever the batch."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fms.models import get_model
from fms.utils.generation import generate
from transformers import AutoModelForCausalLM

from engine_svc.core.runner.fms import FmsRunner
from tests.support.models import TINY_MODELS, VOCAB_SIZE, TinyModel, to_classic_layout
from tests.support.stepper import Sequence, Stepper

NUM_NEW = 12
WHOLE_PROMPT = 1000
_DRAW = random.Random(1)  # noqa: S311 - prompts, not secrets
PROMPTS = [[_DRAW.randrange(3, VOCAB_SIZE) for _ in range(length)] for length in (1, 37, 5, 18, 9)]

with_every_model = pytest.mark.parametrize("tiny", TINY_MODELS, ids=lambda tiny: tiny.name)
Directories = Callable[[TinyModel], Path]
Runners = Callable[[Path], FmsRunner]


def transformers_tokens(directory: Path) -> list[list[int]]:
    model: Any = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)  # untyped
    outputs = []
    for prompt in PROMPTS:
        ids = torch.tensor([prompt])
        reply = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=NUM_NEW,
            min_new_tokens=NUM_NEW,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
        outputs.append(reply[0, len(prompt) :].tolist())
    return outputs


def fms_tokens(directory: Path) -> list[list[int]]:
    model = get_model("hf_pretrained", model_path=str(directory), data_type=torch.float32).eval()
    outputs = []
    for prompt in PROMPTS:
        with torch.no_grad():
            reply = generate(
                model,
                torch.tensor(prompt),
                max_new_tokens=NUM_NEW,
                do_sample=False,
                use_cache=True,
            )
        outputs.append(reply[len(prompt) :].tolist())
    return outputs


def batch(num_new: int = NUM_NEW, stagger: int = 0) -> list[Sequence]:
    return [
        Sequence(prompt=prompt, num_new=num_new, arrives_at=idx * stagger)
        for idx, prompt in enumerate(PROMPTS)
    ]


@with_every_model
def test_greedy_tokens_equal_both_references_alone_and_batched(
    tiny: TinyModel, directory_of: Directories, runner_of: Runners
) -> None:
    """Chunk sizes, neighbours and arrival times change no token; both references agree."""
    directory = directory_of(tiny)
    expected = transformers_tokens(directory)
    assert fms_tokens(directory) == expected
    assert len({token for output in expected for token in output}) > 10, "a dull model"
    stepper = Stepper(runner_of(directory))
    alone = [stepper.run([one], chunk=WHOLE_PROMPT)[0] for one in batch()]
    assert alone == expected
    for chunk in (1, 3, 16, WHOLE_PROMPT):
        assert stepper.run(batch(stagger=2), chunk=chunk) == expected
        assert stepper.run(batch(), chunk=chunk) == expected


@with_every_model
def test_the_classic_config_layout_gives_the_same_tokens(
    tiny: TinyModel,
    directory_of: Directories,
    runner_of: Runners,
    tmp_path: Path,
) -> None:
    """rope_theta reaches FMS from the top level as from rope_parameters."""
    source = directory_of(tiny)
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((source / name).read_bytes())
    to_classic_layout(tmp_path)
    expected = transformers_tokens(source)
    assert Stepper(runner_of(tmp_path)).run(batch(), chunk=WHOLE_PROMPT) == expected
