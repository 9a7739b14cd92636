"""Every bound of every parameter, what contradicts itself, and what is refused for now."""

import math
from typing import Any

import pytest

from steeple.common.v1 import sampling_pb2
from steeple.inference.v1 import chat_pb2, generate_pb2
from steeple_rpc import parameters, unbuilt
from steeple_rpc.errors import InvalidRequest, ServiceError, Unsupported
from steeple_rpc.parameters import check_request

UINT32_MAX = (1 << 32) - 1
SMALLEST = 2.0**-149
"""The least number above 0 that travels as a float."""
INF = math.inf
NAN = math.nan


def growth(start_index: int, decay_factor: float) -> sampling_pb2.LengthPenalty:
    return sampling_pb2.LengthPenalty(start_index=start_index, decay_factor=decay_factor)


GOOD: dict[str, list[Any]] = {
    "sampling.temperature": [0.0, -0.0, SMALLEST, 1.0, 100.0],
    "sampling.top_k": [0, 1, 1_000_000],
    "sampling.top_p": [SMALLEST, 0.5, 1.0],
    "sampling.min_p": [0.0, 0.5, 1.0],
    "sampling.seed": [0, 1, (1 << 64) - 1],
    "sampling.typical_p": [SMALLEST, 0.5, 1.0],
    "sampling.repetition_penalty": [SMALLEST, 1.0, 10.0],
    "sampling.presence_penalty": [-2.0, 0.0, -0.0, 2.0],
    "sampling.frequency_penalty": [-2.0, 0.0, 2.0],
    "sampling.length_penalty": [growth(0, 1.0), growth(1_000_000, 10.0)],
    "sampling.logit_bias": [{}, {0: -100.0, UINT32_MAX: 100.0}, dict.fromkeys(range(1024), 1.0)],
    "sampling.bad_words": [[], ["x"], ["é" * 128], ["x"] * 64],
    "stopping.max_tokens": [1, UINT32_MAX],
    "stopping.min_tokens": [0, UINT32_MAX],
    "stopping.time_limit_ms": [1, UINT32_MAX],
    "stopping.stop": [[], ["x"], ["x" * 256], ["é" * 128], ["x"] * 8],
    "stopping.stop_token_ids": [[], [0, UINT32_MAX], [1] * 64],
    "stopping.ignore_eos": [False, True],
    "stopping.include_stop_in_output": [False, True],
    "output.n": [1],
    "output.best_of": [1],
    "output.skip_special_tokens": [False, True],
    "output.token_details": [False, True],
    "output.logprobs": [0, 20],
    "output.logprob_token_ids": [[], [0, UINT32_MAX], [1] * 128],
    "priority": [-1000, 0, 1000],
    "cache_salt": ["x", "x" * 128, "é y"],
}
OUT_OF_BOUNDS: dict[str, list[Any]] = {
    "sampling.temperature": [-SMALLEST, -1.0, 100.1, INF, -INF, NAN],
    "sampling.top_k": [1_000_001, UINT32_MAX],
    "sampling.top_p": [0.0, -0.0, -0.5, 1.1, INF, -INF, NAN],
    "sampling.min_p": [-SMALLEST, 1.1, INF, -INF, NAN],
    "sampling.typical_p": [0.0, -0.0, 1.1, INF, -INF, NAN],
    "sampling.repetition_penalty": [0.0, -0.0, -1.0, 10.1, INF, -INF, NAN],
    "sampling.presence_penalty": [-2.1, 2.1, INF, -INF, NAN],
    "sampling.frequency_penalty": [-2.1, 2.1, INF, -INF, NAN],
    "sampling.length_penalty": [
        growth(0, 0.0),
        growth(0, 0.9),
        growth(0, 10.1),
        growth(0, INF),
        growth(0, NAN),
        growth(1_000_001, 2.0),
    ],
    "sampling.logit_bias": [
        {1: 100.1},
        {1: -100.1},
        {1: 0.0, 2: NAN},
        {1: INF},
        {1: -INF},
        dict.fromkeys(range(1025), 1.0),
    ],
    "sampling.bad_words": [[""], ["x" * 257], ["é" * 129], ["x", ""], ["x"] * 65],
    "stopping.max_tokens": [0],
    "stopping.time_limit_ms": [0],
    "output.logprobs": [21, UINT32_MAX],
    "output.logprob_token_ids": [[1] * 129],
    "stopping.stop": [[""], ["x" * 257], ["é" * 129], ["x", ""], ["x"] * 9],
    "stopping.stop_token_ids": [[1] * 65],
    "priority": [-1001, 1001, (1 << 31) - 1, -(1 << 31)],
    "cache_salt": ["", "x" * 129, "é" * 65],
}
UNBUILT: dict[str, list[Any]] = {
    "output.n": [0, 2, UINT32_MAX],
    "output.best_of": [0, 2, UINT32_MAX],
    "output.beam_width": [0, 1],
    "output.prompt_logprobs": [0],
    "guided": [
        sampling_pb2.GuidedParams(),
        sampling_pb2.GuidedParams(json_object=False),
        sampling_pb2.GuidedParams(regex="("),
    ],
    "adapter": ["", "x"],
}
KINDS: list[Any] = [
    generate_pb2.GenerateRequest,
    generate_pb2.GenerateStreamRequest,
    chat_pb2.ChatRequest,
    chat_pb2.ChatStreamRequest,
]


def cases(table: dict[str, list[Any]]) -> list[tuple[str, Any]]:
    return [(path, value) for path, values in table.items() for value in values]


def with_value(path: str, value: Any, kind: type[Any] = generate_pb2.GenerateRequest) -> Any:
    """A request with this one field set."""
    *above, name = path.split(".")
    message = request = kind()
    for part in above:
        message = getattr(message, part)
    if isinstance(value, dict):
        getattr(message, name).update(value)
    elif isinstance(value, list):
        getattr(message, name).extend(value)
    elif hasattr(value, "DESCRIPTOR"):
        getattr(message, name).CopyFrom(value)
        getattr(message, name).SetInParent()
    else:
        setattr(message, name, value)
    return request


def refused(request: Any) -> ServiceError:
    with pytest.raises((InvalidRequest, Unsupported)) as caught:
        check_request(request)
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_that_asks_for_nothing_special_passes(kind: type[Any]) -> None:
    check_request(kind())


@pytest.mark.parametrize(("path", "value"), cases(GOOD))
def test_what_is_within_its_bounds_passes_and_stays(path: str, value: Any) -> None:
    request = with_value(path, value)
    before = request.SerializeToString()
    check_request(request)
    assert request.SerializeToString() == before


@pytest.mark.parametrize(("path", "value"), cases(OUT_OF_BOUNDS))
def test_what_is_out_of_its_bounds_is_refused_by_name(path: str, value: Any) -> None:
    error = refused(with_value(path, value))
    assert isinstance(error, InvalidRequest)
    assert error.reason in {"OUT_OF_RANGE", "TOO_MANY"}
    assert error.field.startswith(path)
    assert error.field in error.message


@pytest.mark.parametrize(("path", "value"), cases(UNBUILT))
def test_what_is_not_built_yet_is_refused_by_name(path: str, value: Any) -> None:
    """Never ignored: whoever sets it would take the answer for what it is not."""
    error = refused(with_value(path, value))
    assert isinstance(error, Unsupported)
    assert error.field == path
    assert path in error.message


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("path", "value"), [("sampling.top_k", 1 << 30), ("adapter", "x")])
def test_every_generating_request_is_checked_alike(kind: type[Any], path: str, value: Any) -> None:
    assert refused(with_value(path, value, kind)).field == path


@pytest.mark.parametrize("field", ["tools", "tool_choice"])
def test_tools_are_refused_by_name(field: str) -> None:
    request = chat_pb2.ChatRequest()
    if field == "tools":
        request.tools.add()
    else:
        request.tool_choice.SetInParent()
    assert refused(request).field == field


def test_the_tables_name_only_fields_that_exist() -> None:
    """A misspelt row would check nothing."""
    request = {f.name for kind in KINDS for f in kind.DESCRIPTOR.fields}
    sampling = set(sampling_pb2.SamplingParams.DESCRIPTOR.fields_by_name)
    stopping = set(sampling_pb2.StoppingParams.DESCRIPTOR.fields_by_name)
    output = set(sampling_pb2.OutputParams.DESCRIPTOR.fields_by_name)
    assert set(unbuilt.REQUEST) | set(parameters.REQUEST) <= request
    assert set(unbuilt.OUTPUT) | set(parameters.OUTPUT) <= output
    assert set(parameters.SAMPLING) <= sampling
    assert set(parameters.STOPPING) <= stopping


def test_a_refusal_names_bounds_and_value_in_full() -> None:
    assert str(refused(with_value("sampling.top_k", 1_000_001)).message) == (
        "sampling.top_k must be 0 to 1000000; it is 1000001"
    )
    assert refused(with_value("sampling.top_p", 0.0)).message == (
        "sampling.top_p must be above 0 to 1; it is 0"
    )
    assert refused(with_value("sampling.min_p", NAN)).message.endswith("it is nan")
    assert refused(with_value("stopping.max_tokens", 0)).message == (
        "stopping.max_tokens must be 1 to 4294967295; it is 0"
    )


def test_the_bad_one_of_several_stop_strings_is_named_by_index() -> None:
    error = refused(with_value("stopping.stop", ["ok", "x" * 257]))
    assert error.field == "stopping.stop[1]"
    assert "257" in error.message
    assert "xxx" not in error.message


def test_more_tokens_at_least_than_at_most_is_refused() -> None:
    request = generate_pb2.GenerateRequest()
    request.stopping.max_tokens, request.stopping.min_tokens = 3, 4
    error = refused(request)
    assert (error.field, error.reason) == ("stopping.min_tokens", "OUT_OF_RANGE")
    request.stopping.min_tokens = 3
    check_request(request)


@pytest.mark.parametrize("salt", ["a\nb", "\x00", "a\x1b[0m", "\u202e", "\x7f"])
def test_a_salt_has_only_printable_characters(salt: str) -> None:
    error = refused(with_value("cache_salt", salt))
    assert (error.field, error.reason) == ("cache_salt", "BAD_CACHE_SALT")
    assert salt not in error.message


def test_the_bad_one_of_several_biases_is_named_by_its_token() -> None:
    error = refused(with_value("sampling.logit_bias", {5: 1.0, 7: NAN}))
    assert error.message == "sampling.logit_bias[7] must be -100 to 100; it is nan"


def contradicting(*paths: tuple[str, Any]) -> Any:
    """A request with all of these fields set."""
    request = generate_pb2.GenerateRequest()
    for path, value in paths:
        request.MergeFrom(with_value(path, value))
    return request


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("output.logprobs", 1), ("output.logprob_token_ids", [1])),
        (("sampling.length_penalty", growth(1, 2.0)), ("stopping.ignore_eos", True)),
    ],
)
def test_what_contradicts_itself_is_refused_with_both_names(
    first: tuple[str, Any], second: tuple[str, Any]
) -> None:
    error = refused(contradicting(first, second))
    assert (error.field, error.reason) == (first[0], "CONTRADICTION")
    assert first[0] in error.message
    assert second[0] in error.message


def test_the_odds_of_the_token_itself_go_with_those_asked_for_by_id() -> None:
    """Zero likeliest ones besides contradict nothing."""
    check_request(contradicting(("output.logprobs", 0), ("output.logprob_token_ids", [1])))
