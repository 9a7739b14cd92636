"""A seed gives the same tokens alone, batched, chunked, and from a plain full forward pass."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fms.models import get_model

from engine_svc.core.params import LengthPenalty, RequestId, SamplingParams
from engine_svc.core.runner.fms import FmsRunner
from engine_svc.core.sampling.sampler import Choice, Sampler, SampleRow
from tests.support.models import GRANITE, LLAMA, VOCAB_SIZE, TinyModel
from tests.support.stepper import Sequence, Stepper, sample_spec

NUM_NEW = 10
_DRAW = random.Random(2)  # noqa: S311 - prompts, not secrets
PROMPTS = [
    [_DRAW.randrange(3, VOCAB_SIZE) for _ in range(length)]
    for length in (4, 23, 1, 11, 8, 6, 17, 3)
]
HOT = SamplingParams(temperature=0.8, seed=11)
SAMPLINGS = (
    HOT,
    replace(HOT, top_k=7, seed=2**64 - 1),
    replace(HOT, top_p=0.7),
    replace(HOT, min_p=0.05, temperature=1.3),
    replace(HOT, top_k=20, top_p=0.9, min_p=0.02),
    replace(HOT, temperature=0.0, repetition_penalty=1.4, bad_word_ids=((5, 6), (9,))),
    replace(HOT, presence_penalty=1.5, frequency_penalty=0.7, typical_p=0.9),
    replace(
        HOT,
        repetition_penalty=0.8,
        logit_bias=((7, 4.0), (8, -100.0)),
        length_penalty=LengthPenalty(start_index=2, decay_factor=1.5),
    ),
)


def batch(stagger: int = 0) -> list[Sequence]:
    return [
        Sequence(
            prompt=prompt,
            num_new=NUM_NEW,
            sampling=sampling,
            eos_token_ids=(2,),
            arrives_at=idx * stagger,
        )
        for idx, (prompt, sampling) in enumerate(zip(PROMPTS, SAMPLINGS, strict=True))
    ]


@torch.no_grad()
def full_forward_tokens(directory: Path) -> list[list[int]]:
    """No batch, no paging: the whole text again, into an empty cache, for every token."""
    model = get_model("hf_pretrained", model_path=str(directory), data_type=torch.float32).eval()
    outputs = []
    for sequence in batch():
        known = list(sequence.prompt)
        for _ in range(NUM_NEW):
            # use_cache: without it FMS mixes up heads and positions of as many tokens as KV heads.
            logits = model(torch.tensor([known]), use_cache=True)[0][0, -1:]
            spec = sample_spec(sequence, known)
            row = SampleRow(request_id=RequestId("a"), spec=spec, position=len(known))
            # A sampler that has seen nothing: every token is chosen after a replay.
            (choice,) = Sampler().sample(logits, [row])
            assert isinstance(choice, Choice)
            known.append(choice.token_id)
        outputs.append(known[len(sequence.prompt) :])
    return outputs


@pytest.mark.parametrize("tiny", [GRANITE, LLAMA], ids=lambda tiny: tiny.name)
def test_a_seed_gives_the_same_tokens_in_any_batch(
    tiny: TinyModel,
    directory_of: Callable[[TinyModel], Path],
    runner_of: Callable[[Path], FmsRunner],
) -> None:
    """Neither chunk size nor neighbours nor arrival times change a seeded request."""
    directory = directory_of(tiny)
    expected = full_forward_tokens(directory)
    stepper = Stepper(runner_of(directory))
    assert [stepper.run([one], chunk=1000)[0] for one in batch()] == expected
    for chunk in (1, 3, 16, 1000):
        assert stepper.run(batch(stagger=1), chunk=chunk) == expected
    assert stepper.run(batch(), chunk=1000) == expected


def test_another_seed_or_output_gives_other_tokens(
    directory_of: Callable[[TinyModel], Path], runner_of: Callable[[Path], FmsRunner]
) -> None:
    """The seed reaches the draw: the equalities above are not those of a constant."""
    stepper = Stepper(runner_of(directory_of(LLAMA)))
    outputs = {
        tuple(
            stepper.run(
                [Sequence(prompt=PROMPTS[0], num_new=NUM_NEW, sampling=replace(HOT, seed=seed))],
                chunk=1000,
            )[0]
        )
        for seed in range(8)
    }
    assert len(outputs) == 8
