"""F-23: NaN, infinities, denormals, contradictions: refused, or survived by the sampler.

Validation is total: any message is either refused by name or accepted, and what it accepts, the
sampler turns into a token.
"""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine_svc.core.outputs import RowFault, SampleSpec
from engine_svc.core.params import RequestId
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core.sampling.sampler import NO_TOKEN_LEFT, Sampler, SampleRow
from engine_svc.validation import EngineLimits, to_spec
from steeple.engine.v1 import generate_pb2
from steeple_rpc.errors import FailedPrecondition, InvalidRequest, Unsupported
from tests.support.engine_infos import engine_info
from tests.support.fault_counts import count
from tests.support.refusals import Ask

VOCAB_SIZE = 12
LIMITS = EngineLimits(
    model="demo",
    default_max_tokens=10,
    info=engine_info(vocab_size=VOCAB_SIZE, eos_token_ids=(0,)),
)
SMALLEST = 2.0**-149
NUMBERS = [math.nan, math.inf, -math.inf, -0.0, 0.0, SMALLEST, 1e-38, 1.0, 3.4e38, -3.4e38]

anything = st.one_of(st.sampled_from(NUMBERS), st.floats(width=32))
counts = st.one_of(st.integers(0, VOCAB_SIZE + 1), st.integers(0, (1 << 32) - 1))
ids = st.lists(st.integers(0, VOCAB_SIZE), max_size=4)


def within(low: float, high: float) -> st.SearchStrategy[float]:
    """A number of the range, its ends and what lies just beside them included, or anything."""
    ends = st.sampled_from([low, high, 0.0, SMALLEST, 1.0])
    return st.one_of(st.floats(low, high, width=32), ends, anything)


SAMPLING = {
    "temperature": within(0, 100),
    "top_k": counts,
    "top_p": within(0, 1),
    "min_p": within(0, 1),
    "typical_p": within(0, 1),
    "repetition_penalty": within(0, 10),
    "presence_penalty": within(-2, 2),
    "frequency_penalty": within(-2, 2),
    "length_penalty": st.fixed_dictionaries({"start_index": counts, "decay_factor": within(1, 10)}),
    "logit_bias": st.dictionaries(st.integers(0, VOCAB_SIZE), within(-100, 100), max_size=4),
}
STOPPING = {
    "max_tokens": counts,
    "min_tokens": counts,
    "time_limit_ms": counts,
    "stop_token_ids": ids,
    "ignore_eos": st.booleans(),
}
OUTPUT = {"logprobs": counts, "logprob_token_ids": ids, "n": counts}


def some(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Few of the fields, so that many requests pass."""
    return st.lists(st.sampled_from(sorted(fields)), max_size=3, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: fields[name] for name in names})
    )


# By the fields' names: constructors take dictionaries for messages, their stubs do not say so.
def message_of(
    sampling: dict[str, Any], bad: list[list[int]], **fields: Any
) -> generate_pb2.GenerateRequest:
    ways: Any = [{"ids": way} for way in bad]
    given: Any = {"seed": 1, **sampling}
    return generate_pb2.GenerateRequest(
        request_id="r",
        model="demo",
        prompt_token_ids=[1, 2, 2],
        sampling=given,
        bad_word_ids=ways,
        **fields,
    )


messages = st.builds(
    message_of,
    some(SAMPLING),
    st.lists(ids, max_size=2),
    stopping=some(STOPPING),
    output=some(OUTPUT),
    cache_salt=st.one_of(st.none(), st.text(max_size=3)),
)
rows = st.lists(st.floats(-3e4, 3e4, width=32), min_size=VOCAB_SIZE, max_size=VOCAB_SIZE)


def accepted(message: generate_pb2.GenerateRequest) -> RequestSpec | None:
    """What becomes of a message; None where it is refused by name."""
    try:
        return to_spec(message, LIMITS)
    except (InvalidRequest, Unsupported, FailedPrecondition) as caught:
        error = caught
    assert error.field
    assert error.reason.isupper()
    assert len(error.message) < 300
    return None


def sample_of(spec: RequestSpec, history: tuple[int, ...]) -> SampleSpec:
    """What the scheduler asks of the sampler for the request's next token."""
    return SampleSpec(
        sampling=spec.sampling,
        output_index=0,
        eos_token_ids=spec.stopping.eos_token_ids,
        logprobs=spec.logprobs,
        num_prompt_tokens=spec.num_prompt_tokens,
        history=history if spec.sampling.looks_back else None,
    )


@settings(max_examples=count(400, 100_000))
@given(message=messages, logits=rows, output=st.lists(st.integers(0, VOCAB_SIZE - 1), max_size=40))
def test_validation_is_total_and_the_sampler_survives_what_it_accepts(
    message: generate_pb2.GenerateRequest, logits: list[float], output: list[int]
) -> None:
    spec = accepted(message)
    if spec is None:
        return
    history = (*spec.prompt_token_ids, *output)
    row = SampleRow(request_id=RequestId("r"), spec=sample_of(spec, history), position=len(history))
    (choice,) = Sampler().sample(torch.tensor([logits]), [row])
    if isinstance(choice, RowFault):
        # Only bans can leave nothing, and they are the request's own.
        assert choice == NO_TOKEN_LEFT
        assert spec.sampling.bad_word_ids
        return
    assert 0 <= choice.token_id < VOCAB_SIZE
    if choice.logprobs is not None:
        assert choice.logprobs.logprob <= 0
        assert 1 <= choice.logprobs.rank <= VOCAB_SIZE


def test_many_of_the_messages_are_accepted() -> None:
    """Else the property above would say little."""
    passed = 0

    @settings(max_examples=200, database=None)
    @given(message=messages)
    def look(message: generate_pb2.GenerateRequest) -> None:
        nonlocal passed
        passed += accepted(message) is not None

    look()
    assert passed > 20


FLOATS = [
    "temperature",
    "top_p",
    "min_p",
    "typical_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 3.4e38, -3.4e38])
@pytest.mark.parametrize("name", FLOATS)
def test_what_is_no_number_of_use_is_refused_by_both(
    gateway: Ask, engine: Ask, name: str, number: float
) -> None:
    fields = {"sampling": {"seed": 1, name: number}}
    for error in (gateway(**fields), engine(**fields)):
        assert isinstance(error, InvalidRequest)
        assert (error.field, error.reason) == (f"sampling.{name}", "OUT_OF_RANGE")


@pytest.mark.parametrize("name", ["top_p", "typical_p", "repetition_penalty"])
def test_minus_zero_is_zero(gateway: Ask, name: str) -> None:
    """Where zero is out of bounds, so is its other sign."""
    assert gateway(sampling={name: -0.0}).field == f"sampling.{name}"


CONTRADICTIONS: list[tuple[dict[str, Any], str, str]] = [
    (
        {"stopping": {"max_tokens": 2, "min_tokens": 3}},
        "stopping.min_tokens",
        "max_tokens",
    ),
    (
        {"output": {"logprobs": 1, "logprob_token_ids": [1]}},
        "output.logprobs",
        "output.logprob_token_ids",
    ),
    (
        {
            "sampling": {"seed": 1, "length_penalty": {"decay_factor": 2.0}},
            "stopping": {"ignore_eos": True},
        },
        "sampling.length_penalty",
        "stopping.ignore_eos",
    ),
]


@pytest.mark.parametrize(("fields", "first", "second"), CONTRADICTIONS)
def test_options_that_contradict_each_other_are_refused_with_both_names(
    gateway: Ask, engine: Ask, fields: dict[str, Any], first: str, second: str
) -> None:
    for error in (gateway(**fields), engine(**fields)):
        assert isinstance(error, InvalidRequest)
        assert error.field == first
        assert second in error.message
