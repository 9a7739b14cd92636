"""The fake runner that is sampled from: no weights, and yet every parameter counts."""

from dataclasses import replace
from pathlib import Path

import pytest

from engine_svc.core.models.description import ModelDescription
from engine_svc.core.outputs import Ragged, SampleSpec, ScheduledSequence, SchedulerOutput
from engine_svc.core.params import BlockId, LogprobsParams, RequestId, SamplingParams
from engine_svc.core.runner.base import CacheCorruptError
from engine_svc.core.runner.fake import FakeRunner
from engine_svc.core.runner.fake_logits import fake_logits
from engine_svc.core.runner.fake_options import FakeOptions, FakeReply
from tests.support.stepper import GREEDY, Sequence, Stepper

EOS = 2
PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [12], [13, 14, 15], [5, 6, 7, 8]]
HOT = SamplingParams(temperature=1.0, seed=9)
SAMPLINGS = (
    GREEDY,
    HOT,
    replace(HOT, presence_penalty=2.0, typical_p=0.8),
    replace(GREEDY, repetition_penalty=2.0),
)


def runner(vocab_size: int = 97) -> FakeRunner:
    made = FakeRunner(
        ModelDescription(
            directory=Path(),
            architecture="Fake",
            vocab_size=vocab_size,
            max_model_len=64,
            eos_token_ids=(EOS,),
            default_sampling=GREEDY,
            config={},
        ),
        FakeOptions(reply=FakeReply.SAMPLED, eos_token_id=EOS),
    )
    made.load(lambda *_: None)
    return made


def sample_of() -> SampleSpec:
    return SampleSpec(sampling=GREEDY, output_index=0)


def made_sequence() -> ScheduledSequence:
    return ScheduledSequence(
        request_id=RequestId("a"),
        token_ids=(5, 6),
        first_position=0,
        num_prompt_tokens=2,
        block_table=(BlockId(1),),
        slot_mapping=(4, 5),
        sample=sample_of(),
    )


def step_of(*sequences: ScheduledSequence) -> SchedulerOutput:
    return SchedulerOutput(step=1, sequences=sequences, layout=Ragged())


def batch(stagger: int = 0) -> list[Sequence]:
    return [
        Sequence(prompt=prompt, num_new=12, sampling=sampling, arrives_at=stagger * idx)
        for idx, (prompt, sampling) in enumerate(zip(PROMPTS, SAMPLINGS, strict=True))
    ]


def test_neighbours_chunks_and_arrivals_change_nothing() -> None:
    """With seeds and penalties too; and the answers are no constant."""
    alone = [Stepper(runner()).run([one], chunk=100)[0] for one in batch()]
    for chunk in (1, 3, 100):
        assert Stepper(runner()).run(batch(stagger=1), chunk=chunk) == alone
    assert all(len(set(output)) > 3 for output in alone)


def test_every_token_of_the_sequence_counts() -> None:
    """Another first token gives another answer."""
    outputs = [
        Stepper(runner()).run([Sequence(prompt=[first, 6, 7], num_new=8)], chunk=9)[0]
        for first in (5, 8)
    ]
    assert outputs[0] != outputs[1]


def test_logprobs_are_those_of_its_logits() -> None:
    """The likeliest token of a greedy row is the one that was chosen."""
    step_runner = runner()
    step_runner.warm_up(num_blocks=2, block_size=4)
    sequence = replace(
        made_sequence(), sample=replace(sample_of(), logprobs=LogprobsParams(num_top=3))
    )
    result = step_runner.execute(step_of(sequence))
    (token,) = result.token_ids[RequestId("a")]
    (told,) = result.logprobs[RequestId("a")]
    assert told.rank == 1
    assert told.top[0] == (token, told.logprob)
    assert len(told.top) == 3


def test_an_echo_tells_that_nothing_else_was_possible() -> None:
    """Its log-probabilities are those of a model that knows only one next token."""
    echo = FakeRunner(runner()._description, FakeOptions())
    echo.warm_up(num_blocks=2, block_size=4)
    sequence = replace(
        made_sequence(), sample=replace(sample_of(), logprobs=LogprobsParams(num_top=2))
    )
    (told,) = echo.execute(step_of(sequence)).logprobs[RequestId("a")]
    assert (told.rank, told.top[0][0]) == (1, 5)
    assert told.logprob == pytest.approx(0.0, abs=1e-6)


def test_the_end_token_is_spoken_wherever_it_stands() -> None:
    """Logits are finite everywhere, high for what is spoken, and change with every token."""
    logits = fake_logits([1, 2, 3], vocab_size=1000, eos_token_id=900)
    assert logits.min() == -30.0
    assert (logits > -30.0).nonzero()[0].tolist() == [*range(512), 900]
    assert logits.max() < 8.0
    assert (fake_logits([1, 2, 4], vocab_size=1000, eos_token_id=900) != logits).sum() > 400


def test_a_cache_that_was_not_written_is_still_an_error() -> None:
    """It answers from its cache, not from what it is told."""
    step_runner = runner()
    step_runner.warm_up(num_blocks=2, block_size=4)
    with pytest.raises(CacheCorruptError):
        step_runner.execute(step_of(replace(made_sequence(), first_position=1)))


def test_ended_requests_are_forgotten() -> None:
    """What the sampler keeps for a request goes with it, also in a step that computes nothing."""
    step_runner = runner()
    step_runner.warm_up(num_blocks=2, block_size=4)
    penalised = replace(sample_of(), sampling=SAMPLINGS[2], history=[5, 6], num_prompt_tokens=2)
    step_runner.execute(step_of(replace(made_sequence(), sample=penalised)))
    model = step_runner._model
    assert model is not None
    assert set(model._sampler._processors) == {"a"}
    step_runner.execute(replace(step_of(), finished_request_ids=(RequestId("a"),)))
    assert not model._sampler._processors
