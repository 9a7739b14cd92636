"""What a step says about how the next token is chosen."""

from dataclasses import replace

from engine_svc.core.outputs import SampleSpec
from engine_svc.core.params import LogprobsParams, SamplingParams
from engine_svc.core.request import Request
from engine_svc.core.scheduler.sequences import scheduled
from tests.support.requests import request_spec

PENALISED = SamplingParams(temperature=0.0, presence_penalty=1.0)


def request(sampling: SamplingParams) -> Request:
    spec = request_spec("a", 3, eos=(5,), stop=(6,), prior=(7,))
    asked = replace(spec, sampling=sampling, logprobs=LogprobsParams(num_top=2), output_index=4)
    return Request(spec=asked, arrival=0.0)


def sample_of(request: Request, end: int) -> SampleSpec | None:
    return scheduled(request, end, (0,) * end).sample


def test_it_says_what_was_asked_for() -> None:
    """Of the end tokens only the model's own grow likelier; prior output is not the prompt."""
    sample = sample_of(request(PENALISED), 4)
    assert sample is not None
    assert (sample.sampling, sample.output_index) == (PENALISED, 4)
    assert sample.eos_token_ids == (5,)
    assert sample.logprobs == LogprobsParams(num_top=2)
    assert sample.num_prompt_tokens == 3


def test_only_who_looks_back_carries_its_tokens() -> None:
    """The request's own list, not a copy that grows with it."""
    looking = request(PENALISED)
    sample = sample_of(looking, 4)
    assert sample is not None
    assert sample.history is looking.token_ids
    plain = sample_of(request(SamplingParams()), 4)
    assert plain is not None
    assert plain.history is None


def test_inside_the_prompt_no_token_is_chosen() -> None:
    assert sample_of(request(PENALISED), 3) is None
