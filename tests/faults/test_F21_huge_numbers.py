"""F-21: counts of nothing and of billions: refused over the cap, and none costs by its size."""

import time
import tracemalloc
from typing import Any

import pytest

from steeple.inference.v1 import generate_pb2
from steeple_client import Client
from steeple_rpc.errors import InvalidRequest, ServiceError, Unsupported
from steeple_rpc.parameters import check_request
from tests.support.cluster import Cluster
from tests.support.refusals import Ask

INT32_MAX = (1 << 31) - 1
UINT32_MAX = (1 << 32) - 1
BILLION = 10**9
MAX_CPU_S = 1e-3

CASES: list[tuple[dict[str, Any], type[ServiceError], str]] = [
    ({"stopping": {"max_tokens": 0}}, InvalidRequest, "stopping.max_tokens"),
    ({"stopping": {"max_tokens": INT32_MAX}}, InvalidRequest, "stopping.max_tokens"),
    ({"stopping": {"max_tokens": UINT32_MAX}}, InvalidRequest, "stopping.max_tokens"),
    ({"stopping": {"min_tokens": UINT32_MAX}}, InvalidRequest, "stopping.min_tokens"),
    ({"stopping": {"time_limit_ms": 0}}, InvalidRequest, "stopping.time_limit_ms"),
    ({"sampling": {"top_k": UINT32_MAX}}, InvalidRequest, "sampling.top_k"),
    ({"output": {"logprobs": BILLION}}, InvalidRequest, "output.logprobs"),
    ({"output": {"n": BILLION}}, Unsupported, "output.n"),
    ({"output": {"best_of": BILLION}}, Unsupported, "output.best_of"),
    ({"output": {"beam_width": BILLION}}, Unsupported, "output.beam_width"),
    ({"output": {"prompt_logprobs": BILLION}}, Unsupported, "output.prompt_logprobs"),
    ({"priority": INT32_MAX}, InvalidRequest, "priority"),
    ({"priority": -INT32_MAX - 1}, InvalidRequest, "priority"),
    (
        {"sampling": {"length_penalty": {"start_index": UINT32_MAX, "decay_factor": 2.0}}},
        InvalidRequest,
        "sampling.length_penalty.start_index",
    ),
]


@pytest.mark.parametrize(("fields", "kind", "field"), CASES)
def test_a_number_over_its_cap_is_refused_by_both(
    gateway: Ask, engine: Ask, fields: dict[str, Any], kind: type[ServiceError], field: str
) -> None:
    """With the field; never a silent clamp."""
    for error in (gateway(**fields), engine(**fields)):
        assert type(error) is kind
        assert error.field == field


def test_an_output_index_over_its_cap_is_the_engines_to_refuse(engine: Ask) -> None:
    assert engine(output_index=UINT32_MAX).field == "output_index"


@pytest.mark.parametrize(("fields", "kind", "field"), CASES)
def test_no_number_costs_by_its_size(
    fields: dict[str, Any], kind: type[ServiceError], field: str
) -> None:
    """At most a millisecond of this process, and a few KiB."""
    request = generate_pb2.GenerateRequest(text="x", **fields)

    def check() -> None:
        try:
            check_request(request)
        except kind:
            pass
        except ServiceError as error:
            raise AssertionError(error.field) from error

    assert min(_cpu_s(check) for _ in range(20)) < MAX_CPU_S
    tracemalloc.start()
    try:
        check()
        assert tracemalloc.get_traced_memory()[1] < 64 << 10
    finally:
        tracemalloc.stop()


def _cpu_s(work: Any) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


def test_the_largest_time_limit_is_no_limit_that_anybody_meets(calm: Cluster) -> None:
    """It fits its field, and the answer comes as without it."""
    with Client(calm.target) as client:
        reply = client.generate("x", max_tokens=2, time_limit_ms=UINT32_MAX)
        assert reply.usage.num_completion_tokens == 2
        assert reply.started.stopping["time_limit_ms"] == UINT32_MAX
