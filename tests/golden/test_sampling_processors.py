"""What a request makes of logits is what transformers' own processors make of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    ExponentialDecayLengthPenalty,
    MinNewTokensLengthLogitsProcessor,
    NoBadWordsLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    SequenceBiasLogitsProcessor,
)

from engine_svc.core.outputs import SampleSpec
from engine_svc.core.params import LengthPenalty, SamplingParams
from engine_svc.core.sampling.row_processors import RowProcessors

VOCAB_SIZE = 211
PROMPT = [3, 5, 3, 200, 17]
OUTPUT = [8, 3, 9, 9, 8, 41, 8, 9]
EOS = (2, 7)


def some_logits(seed: int) -> torch.Tensor:
    """Both signs, and one token that the model itself forbids."""
    logits = torch.randn(VOCAB_SIZE, generator=torch.Generator().manual_seed(seed)) * 4
    logits[100] = -torch.inf
    return logits


def ours(
    logits: torch.Tensor,
    params: SamplingParams,
    *,
    prompt: Sequence[int] = PROMPT,
    output: Sequence[int] = OUTPUT,
    banned: tuple[int, ...] = (),
) -> torch.Tensor:
    row = logits.numpy().copy()
    spec = SampleSpec(
        sampling=params,
        output_index=0,
        banned_token_ids=banned,
        eos_token_ids=EOS,
        num_prompt_tokens=len(prompt),
        history=[*prompt, *output] if params.looks_back else None,
    )
    RowProcessors(spec).apply(row, spec)
    return torch.from_numpy(row)


# transformers' processors are called with ids and scores; their annotations want long ids.
def theirs(processor: Any, ids: Sequence[int], logits: torch.Tensor) -> torch.Tensor:
    changed: torch.Tensor = processor(torch.tensor([list(ids)]), logits[None].clone())[0]
    return changed


def assert_same(mine: torch.Tensor, other: torch.Tensor) -> None:
    """Up to the last bit of single precision."""
    np.testing.assert_allclose(mine.numpy(), other.numpy(), rtol=3e-7)


@pytest.mark.parametrize("penalty", [0.1, 0.7, 1.3, 10.0])
@pytest.mark.parametrize("seed", range(3))
def test_repetition_penalty(penalty: float, seed: int) -> None:
    """Prompt and output, once however often, by the sign of the logit."""
    logits = some_logits(seed)
    processor = RepetitionPenaltyLogitsProcessor(penalty)
    mine = ours(logits, SamplingParams(repetition_penalty=penalty))
    assert_same(mine, theirs(processor, PROMPT + OUTPUT, logits))
    assert (mine != logits).sum() == len({*PROMPT, *OUTPUT})


@pytest.mark.parametrize(
    "words",
    [
        ((9,),),
        ((8, 9, 55),),
        ((9, 8), (8, 9, 8), (41, 8, 9, 60)),
        ((9, 55), (8, 55), (55, 9), (9, 9, 55)),
        ((1, 8, 3, 9, 9, 8, 41, 8, 9, 77), (8, 3, 9, 9, 8, 41, 8, 9, 78)),
        ((9,), (8, 9, 9), (2,)),
    ],
)
def test_bad_words(words: tuple[tuple[int, ...], ...]) -> None:
    """Matched over the output: that is the text that transformers is given here."""
    logits = some_logits(1)
    processor = NoBadWordsLogitsProcessor([list(word) for word in words])
    for length in range(1, len(OUTPUT) + 1):
        output = OUTPUT[:length]
        mine = ours(logits, SamplingParams(bad_word_ids=words), output=output)
        assert_same(mine, theirs(processor, output, logits))


def test_bad_words_do_not_begin_in_the_prompt() -> None:
    """The output alone must not contain them; a prompt may end with their beginning."""
    params = SamplingParams(bad_word_ids=((17, 8),))
    logits = some_logits(1)
    assert_same(ours(logits, params, prompt=[17], output=[]), logits)
    assert ours(logits, params, prompt=[1], output=[17])[8] == -torch.inf


@pytest.mark.parametrize("num_output", [0, 1, 4, 5, 8])
def test_min_tokens(num_output: int) -> None:
    """The scheduler names the end tokens as long as transformers bans them."""
    logits = some_logits(2)
    processor = MinNewTokensLengthLogitsProcessor(len(PROMPT), 5, list(EOS))
    output = OUTPUT[:num_output]
    mine = ours(logits, SamplingParams(), output=output, banned=EOS if num_output < 5 else ())
    assert_same(mine, theirs(processor, PROMPT + output, logits))


@pytest.mark.parametrize("factor", [1.0, 1.01, 1.5, 10.0])
@pytest.mark.parametrize("start", [0, 3, 7, 8, 20])
def test_length_penalty(factor: float, start: int) -> None:
    """Counted in output tokens, for each end token, whatever the sign of its logit."""
    logits = some_logits(3)
    processor = ExponentialDecayLengthPenalty((start, factor), list(EOS), len(PROMPT))
    params = SamplingParams(length_penalty=LengthPenalty(start_index=start, decay_factor=factor))
    for length in range(len(OUTPUT) + 1):
        output = OUTPUT[:length]
        mine = ours(logits, params, output=output)
        np.testing.assert_allclose(
            mine.numpy(), theirs(processor, PROMPT + output, logits).numpy(), rtol=2e-6
        )


def test_logit_bias() -> None:
    """Every token named, and no other; what the model forbids stays forbidden."""
    bias = {4: 3.5, 8: -100.0, 100: 100.0, 210: 0.25}
    logits = some_logits(4)
    processor = SequenceBiasLogitsProcessor([[[token], value] for token, value in bias.items()])
    mine = ours(logits, SamplingParams(logit_bias=tuple(bias.items())))
    assert_same(mine, theirs(processor, PROMPT, logits))
