"""The engine checks again: it trusts nobody, and fills in every default."""

from typing import Any

import pytest

from engine_svc.core.params import LengthPenalty, LogprobsParams, SamplingParams
from engine_svc.validation import EngineLimits, to_spec
from steeple.engine.v1.generate_pb2 import GenerateRequest
from steeple_rpc.errors import (
    FailedPrecondition,
    InvalidRequest,
    NotFound,
    ServiceError,
    Unsupported,
)
from tests.support.engine_infos import engine_info

LIMITS = EngineLimits(model="demo", default_max_tokens=10, info=engine_info())
LOGPROB_1 = "output.logprob_token_ids[1]"


def request(**fields: Any) -> GenerateRequest:
    """A good request, but for the fields given."""
    good = {"request_id": "a", "model": "demo", "prompt_token_ids": [1, 2], "sampling": {"seed": 7}}
    return GenerateRequest(**{**good, **fields})


def refusal(**fields: Any) -> ServiceError:
    """What a request with these fields is refused with."""
    with pytest.raises(ServiceError) as caught:
        to_spec(request(**fields), LIMITS)
    return caught.value


def test_unset_fields_take_the_models_and_the_servers_defaults() -> None:
    """Sampling of the model, end tokens of the model, the cap on max_tokens."""
    spec = to_spec(request(), LIMITS)
    assert spec.sampling == SamplingParams(temperature=0.7, top_p=0.9, seed=7)
    assert spec.stopping.eos_token_ids == (0, 3)
    assert spec.stopping.max_tokens == 10


def test_what_is_set_wins() -> None:
    """Zero is a value."""
    spec = to_spec(request(sampling={"temperature": 0, "top_p": 1}), LIMITS)
    assert spec.sampling.is_greedy
    assert spec.sampling.top_p == 1


def test_an_unset_max_tokens_never_exceeds_the_context() -> None:
    """Nor falls below min_tokens, where the context has room for them."""
    assert to_spec(request(prompt_token_ids=[1] * 30), LIMITS).stopping.max_tokens == 2
    assert to_spec(request(stopping={"min_tokens": 20}), LIMITS).stopping.max_tokens == 20


def test_priority_and_patience_reach_the_core() -> None:
    """Both are the scheduler's to honour; unset they ask for nothing."""
    spec = to_spec(request(priority=-7), LIMITS, timeout_s=1.5)
    assert (spec.priority, spec.timeout_s) == (-7, 1.5)
    bare = to_spec(request(), LIMITS)
    assert (bare.priority, bare.timeout_s) == (0, None)


def test_prior_output_counts_within_max_tokens() -> None:
    """An answer that goes on elsewhere may become as long as it might have here."""
    going_on = {"prompt_token_ids": [1] * 20, "prior_output_token_ids": [2] * 4}
    assert to_spec(request(**going_on, stopping={"max_tokens": 12}), LIMITS)
    assert refusal(**going_on, stopping={"max_tokens": 13}).field == "stopping.max_tokens"


def test_ignored_end_tokens_are_no_end_tokens() -> None:
    """The request's own still are."""
    spec = to_spec(request(stopping={"ignore_eos": True, "stop_token_ids": [9]}), LIMITS)
    assert (spec.stopping.eos_token_ids, spec.stopping.stop_token_ids) == ((), (9,))


def test_every_parameter_reaches_the_core() -> None:
    """By value, as the core reads it; the model's defaults where nothing is set."""
    given = {
        "seed": 7,
        "typical_p": 0.5,
        "repetition_penalty": 2.0,
        "presence_penalty": -0.5,
        "frequency_penalty": 0.25,
        "length_penalty": {"start_index": 3, "decay_factor": 1.5},
        "logit_bias": {9: 1.5, 2: -100.0},
    }
    ways = [{"ids": [5, 6]}, {"ids": [7]}]
    assert to_spec(request(sampling=given, bad_word_ids=ways), LIMITS).sampling == SamplingParams(
        temperature=0.7,
        top_p=0.9,
        seed=7,
        typical_p=0.5,
        repetition_penalty=2.0,
        presence_penalty=-0.5,
        frequency_penalty=0.25,
        length_penalty=LengthPenalty(start_index=3, decay_factor=1.5),
        logit_bias=((2, -100.0), (9, 1.5)),
        bad_word_ids=((5, 6), (7,)),
    )


def test_the_models_own_penalty_is_used_where_none_is_set() -> None:
    model = SamplingParams(temperature=0.0, repetition_penalty=1.5)
    limits = EngineLimits(
        model="demo", default_max_tokens=10, info=engine_info(default_sampling=model)
    )
    assert to_spec(request(), limits).sampling.repetition_penalty == 1.5
    none = request(sampling={"repetition_penalty": 1.0})
    assert to_spec(none, limits).sampling.repetition_penalty == 1.0


@pytest.mark.parametrize(
    ("output", "wanted"),
    [
        ({}, None),
        ({"token_details": True}, None),
        ({"logprobs": 0}, LogprobsParams()),
        ({"logprobs": 3}, LogprobsParams(num_top=3)),
        ({"logprob_token_ids": [9, 1]}, LogprobsParams(token_ids=(9, 1))),
    ],
)
def test_log_probabilities_are_told_where_asked_for(
    output: dict[str, Any], wanted: LogprobsParams | None
) -> None:
    """Zero is a number: it asks for the token's own."""
    assert to_spec(request(output=output), LIMITS).logprobs == wanted


def test_salt_and_time_limit_reach_the_core() -> None:
    spec = to_spec(request(cache_salt="s", stopping={"time_limit_ms": 1500}), LIMITS)
    assert (spec.cache_salt, spec.stopping.time_limit_s) == ("s", 1.5)
    bare = to_spec(request(), LIMITS)
    assert (bare.cache_salt, bare.stopping.time_limit_s) == ("", None)


def test_an_end_that_the_model_does_not_have_cannot_become_likelier() -> None:
    limits = EngineLimits(model="demo", default_max_tokens=10, info=engine_info(eos_token_ids=()))
    growing = {"seed": 1, "length_penalty": {"decay_factor": 2.0}}
    with pytest.raises(FailedPrecondition) as caught:
        to_spec(request(sampling=growing), limits)
    assert caught.value.field == "sampling.length_penalty"


@pytest.mark.parametrize(
    ("fields", "kind", "field", "told"),
    [
        ({"request_id": ""}, InvalidRequest, "request_id", "160"),
        ({"request_id": "a b"}, InvalidRequest, "request_id", ""),
        ({"model": "other"}, NotFound, "model", ""),
        ({"prompt_token_ids": []}, InvalidRequest, "prompt_token_ids", ""),
        ({"prompt_token_ids": [1, 100]}, InvalidRequest, "prompt_token_ids[1]", "100"),
        ({"prompt_token_ids": [1] * 32}, InvalidRequest, "prompt_token_ids", "32"),
        ({"stopping": {"max_tokens": 31}}, InvalidRequest, "stopping.max_tokens", "30"),
        ({"stopping": {"stop": ["x"]}}, InvalidRequest, "stopping.stop", ""),
        ({"stopping": {"stop_token_ids": [500]}}, InvalidRequest, "stopping.stop_token_ids[0]", ""),
        ({"sampling": {}}, InvalidRequest, "sampling.seed", ""),
        ({"sampling": {"top_p": 0.0, "seed": 1}}, InvalidRequest, "sampling.top_p", "above 0"),
        ({"adapter": "x"}, Unsupported, "adapter", ""),
        ({"sampling": {"bad_words": ["x"]}}, InvalidRequest, "sampling.bad_words", ""),
        ({"sampling": {"logit_bias": {100: 1.0}}}, InvalidRequest, "sampling.logit_bias", "100"),
        ({"output": {"logprob_token_ids": [1, 100]}}, InvalidRequest, LOGPROB_1, "100"),
        ({"output": {"logprobs": 21}}, InvalidRequest, "output.logprobs", "0 to 20"),
        ({"bad_word_ids": [{"ids": []}]}, InvalidRequest, "bad_word_ids[0].ids", "empty"),
        ({"bad_word_ids": [{"ids": [1]}] * 257}, InvalidRequest, "bad_word_ids", "256"),
        ({"bad_word_ids": [{"ids": [1] * 65}]}, InvalidRequest, "bad_word_ids[0].ids", "64"),
        ({"bad_word_ids": [{"ids": [1, 100]}]}, InvalidRequest, "bad_word_ids[0].ids[1]", "100"),
        ({"cache_salt": "x" * 129}, InvalidRequest, "cache_salt", "128"),
        ({"output_index": 8}, InvalidRequest, "output_index", "0 to 7"),
        ({"priority": 1001}, InvalidRequest, "priority", "-1000 to 1000"),
        ({"stopping": {"min_tokens": 31}}, InvalidRequest, "stopping.min_tokens", "30"),
        (
            {"prior_output_token_ids": [1, 2], "stopping": {"max_tokens": 2}},
            InvalidRequest,
            "prior_output_token_ids",
            "fewer than max_tokens 2",
        ),
        ({"prior_output_token_ids": [100]}, InvalidRequest, "prior_output_token_ids[0]", ""),
    ],
)
def test_what_is_wrong_is_refused_by_name(
    fields: dict[str, Any], kind: type[ServiceError], field: str, told: str
) -> None:
    """Typed, with the field, its limit and the value."""
    error = refusal(**fields)
    assert type(error) is kind
    assert error.field == field
    assert told in error.message
