"""F-22: lists too long, texts too large, numbers that are none: refused, and cheaply."""

import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import grpc
import pytest

from steeple.inference.v1 import generate_pb2, inference_service_pb2_grpc
from steeple_client import Client
from steeple_rpc.channel import open_sync_channel
from steeple_rpc.errors import InvalidRequest
from steeple_rpc.parameters import MAX_STOP_BYTES, MAX_STOPS, check_request
from tests.support.cluster import Cluster
from tests.support.refusals import Ask
from tokenizer_svc.detokenize.stop_strings import StopMatcher

MANY = 100_000
INF, NAN = float("inf"), float("nan")
MAX_CPU_S = 0.05
"""Of one refusal, whatever was sent: a look at a megabyte."""


def biased(**biases: Any) -> dict[str, Any]:
    return {"sampling": {"seed": 1, **biases}}


CASES: list[tuple[dict[str, Any], str, str]] = [
    (biased(logit_bias=dict.fromkeys(range(MANY), 1.0)), "sampling.logit_bias", "1024"),
    (biased(logit_bias={1: INF}), "sampling.logit_bias[1]", "-100 to 100"),
    (biased(logit_bias={1: -INF}), "sampling.logit_bias[1]", "-100 to 100"),
    (biased(logit_bias={1: NAN}), "sampling.logit_bias[1]", "-100 to 100"),
    ({"stopping": {"stop_token_ids": [1] * MANY}}, "stopping.stop_token_ids", "64"),
    ({"output": {"logprob_token_ids": [1] * MANY}}, "output.logprob_token_ids", "128"),
    ({"cache_salt": "x" * (1 << 20)}, "cache_salt", "128"),
]
WORDS: list[tuple[dict[str, Any], str, str]] = [
    ({"stopping": {"stop": ["x"] * MANY}}, "stopping.stop", "8"),
    ({"stopping": {"stop": ["x" * (1 << 20)]}}, "stopping.stop[0]", "256"),
    ({"stopping": {"stop": ["x", ""]}}, "stopping.stop[1]", "1 to 256"),
    (biased(bad_words=["x"] * MANY), "sampling.bad_words", "64"),
    (biased(bad_words=["x" * (1 << 20)]), "sampling.bad_words[0]", "256"),
    (biased(bad_words=["x", ""]), "sampling.bad_words[1]", "1 to 256"),
]


def names(case: object) -> str:
    return case if isinstance(case, str) else "-"


@pytest.mark.parametrize(("fields", "field", "limit"), [*CASES, *WORDS], ids=names)
def test_too_much_of_something_is_refused_with_its_limit(
    gateway: Ask, fields: dict[str, Any], field: str, limit: str
) -> None:
    error = gateway(**fields)
    assert isinstance(error, InvalidRequest)
    assert error.field == field
    assert limit in error.message
    assert len(error.message) < 200


@pytest.mark.parametrize(("fields", "field", "limit"), CASES, ids=names)
def test_the_engine_refuses_it_too(
    engine: Ask, fields: dict[str, Any], field: str, limit: str
) -> None:
    error = engine(**fields)
    assert isinstance(error, InvalidRequest)
    assert (error.field, limit in error.message) == (field, True)


def test_the_engine_takes_words_as_ids_only_and_not_too_many(engine: Ask) -> None:
    assert engine(**biased(bad_words=["x"])).field == "sampling.bad_words"
    assert engine(stopping={"stop": ["x"]}).field == "stopping.stop"
    assert engine(bad_word_ids=[{"ids": [1]}] * MANY).field == "bad_word_ids"
    assert engine(bad_word_ids=[{"ids": [1] * MANY}]).field == "bad_word_ids[0].ids"


@pytest.mark.parametrize(("fields", "field", "limit"), [*CASES, *WORDS], ids=names)
def test_a_refusal_costs_next_to_nothing(fields: dict[str, Any], field: str, limit: str) -> None:
    request = generate_pb2.GenerateRequest(text="x", **fields)

    def cpu_s() -> float:
        before = time.process_time()
        with pytest.raises(InvalidRequest):
            check_request(request)
        return time.process_time() - before

    assert min(cpu_s() for _ in range(5)) < MAX_CPU_S


def test_a_call_with_ten_thousand_keys_of_metadata_is_refused(calm: Cluster) -> None:
    """By the library, before any code of ours; the next call is served."""
    metadata = tuple((f"x-{number}", "v") for number in range(10_000))
    with open_sync_channel(calm.target) as channel:
        stub = inference_service_pb2_grpc.InferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Generate(generate_pb2.GenerateRequest(text="x"), metadata=metadata, timeout=10)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    with Client(calm.target) as client:
        assert client.generate("x", max_tokens=1).usage.num_completion_tokens == 1


def num_lines(work: Callable[[], object]) -> int:
    """How many lines of Python run: the same every time, unlike seconds."""
    seen = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal seen
        seen += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return seen


def matching(num_stops: int, num_chars: int) -> int:
    """The work of reading a text that nearly matches all the time."""
    stops = ["a" * (MAX_STOP_BYTES - 1 - index) + "b" for index in range(num_stops)]
    matcher = StopMatcher(stops)
    text = "a" * num_chars + "c"
    return num_lines(lambda: [matcher.push(char) for char in text])


def test_matching_is_linear_in_the_text_and_blind_to_the_number_of_stops() -> None:
    one = matching(1, 2000)
    assert matching(1, 4000) < 2.1 * one
    assert matching(MAX_STOPS, 2000) < 1.1 * one
