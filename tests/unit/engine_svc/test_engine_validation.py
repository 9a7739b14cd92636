"""The engine checks again: it trusts nobody, and fills in every default."""

from typing import Any

import pytest

from engine_svc.core.params import SamplingParams
from engine_svc.validation import EngineLimits, to_spec
from steeple.engine.v1.generate_pb2 import GenerateRequest
from steeple_rpc.errors import InvalidRequest, NotFound, ServiceError, Unsupported
from tests.support.engine_infos import engine_info

LIMITS = EngineLimits(model="demo", default_max_tokens=10, info=engine_info())


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
