"""The same tokens under every policy, in any company, and when a request goes on elsewhere."""

from dataclasses import replace
from pathlib import Path

import pytest

from engine_svc.core.models.description import ModelDescription
from engine_svc.core.outputs import RequestOutput
from engine_svc.core.params import LengthPenalty, LogprobsParams, RequestId, SamplingParams
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core.runner.fake import FakeRunner
from engine_svc.core.runner.fake_options import FakeOptions, FakeReply
from engine_svc.core.scheduler.registry import SCHEDULERS
from tests.support.policies import four_seats
from tests.support.requests import GREEDY, request_spec

EOS = 2
NUM_NEW = 20
HOT = SamplingParams(temperature=1.3, seed=77)
SAMPLINGS = (
    GREEDY,
    HOT,
    replace(GREEDY, repetition_penalty=1.7),
    replace(HOT, presence_penalty=1.5, frequency_penalty=1.5, top_p=0.9),
    replace(HOT, bad_word_ids=tuple((first, 9) for first in range(97)), typical_p=0.95),
    replace(
        GREEDY,
        logit_bias=tuple((token, 6.0) for token in range(10, 20)),
        frequency_penalty=0.9,
        length_penalty=LengthPenalty(start_index=5, decay_factor=1.05),
    ),
)


def spec_of(idx: int, *, prior: tuple[int, ...] = ()) -> RequestSpec:
    prompt = tuple(3 + (idx * 17 + place * 5) % 90 for place in range(5 + 9 * idx))
    asked = request_spec(f"r{idx}", prompt, NUM_NEW, min_tokens=4, eos=(EOS,), prior=prior)
    return replace(asked, sampling=SAMPLINGS[idx], logprobs=LogprobsParams(num_top=2))


def runner() -> FakeRunner:
    made = FakeRunner(
        ModelDescription(
            directory=Path(),
            architecture="Fake",
            vocab_size=97,
            max_model_len=256,
            eos_token_ids=(EOS,),
            default_sampling=GREEDY,
            config={},
        ),
        FakeOptions(reply=FakeReply.SAMPLED, eos_token_id=EOS),
    )
    made.load(lambda *_: None)
    return made


def outputs_of(policy: str, *specs: RequestSpec) -> dict[RequestId, list[RequestOutput]]:
    """Everything that a new engine tells of each request, all of them together."""
    scheduler, step_runner = four_seats(policy), runner()
    step_runner.warm_up(num_blocks=128, block_size=4 * 256 // scheduler.load().num_total_blocks)
    for spec in specs:
        scheduler.add_request(spec, 0.0)
    told: dict[RequestId, list[RequestOutput]] = {spec.request_id: [] for spec in specs}
    while scheduler.has_requests:
        step = scheduler.schedule(0.0)
        if step is not None:
            result = step_runner.execute(step)
            assert not result.faults
            for output in scheduler.update_from_output(step, result, 0.0):
                told[output.request_id].append(output)
    return told


def tokens_of(outputs: list[RequestOutput]) -> tuple[int, ...]:
    return tuple(token for output in outputs for token in output.token_ids)


@pytest.fixture(scope="module")
def alone() -> dict[str, tuple[int, ...]]:
    """The answer to each request on an engine of its own."""
    answers = {}
    for idx in range(len(SAMPLINGS)):
        spec = spec_of(idx)
        (outputs,) = outputs_of("continuous", spec).values()
        answers[str(spec.request_id)] = tokens_of(outputs)
    return answers


@pytest.mark.parametrize("policy", sorted(SCHEDULERS))
def test_policy_and_company_change_nothing(policy: str, alone: dict[str, tuple[int, ...]]) -> None:
    """Seeds, penalties, bans and length penalties; each token with its log-probabilities."""
    told = outputs_of(policy, *(spec_of(idx) for idx in range(len(SAMPLINGS))))
    assert {name: tokens_of(outputs) for name, outputs in told.items()} == alone
    assert len(set(alone.values())) == len(alone)
    for outputs in told.values():
        for output in outputs:
            assert len(output.logprobs) == len(output.token_ids)
    assert 9 not in alone["r4"][1:]


@pytest.mark.parametrize("policy", sorted(SCHEDULERS))
def test_a_request_goes_on_elsewhere_with_the_same_tokens(
    policy: str, alone: dict[str, tuple[int, ...]]
) -> None:
    """What came before counts for positions, penalties, bans, min_tokens and lengths."""
    for idx in range(len(SAMPLINGS)):
        whole = alone[f"r{idx}"]
        for num_prior in (1, 7, len(whole) - 1):
            spec = spec_of(idx, prior=whole[:num_prior])
            outputs = outputs_of(policy, spec)[spec.request_id]
            assert tokens_of(outputs) == whole[num_prior:]
