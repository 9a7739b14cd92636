"""F-18: any bytes at all in place of a message: INVALID_ARGUMENT, or what a valid message deserves.

Never UNKNOWN, never INTERNAL, never a word of Python; whoever calls meanwhile is served.
"""

import re
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steeple.inference.v1 import generate_pb2
from steeple_client import Client
from steeple_rpc.channel import open_sync_channel
from tests.support.cluster import Cluster
from tests.support.fault_counts import count

SERVICE = "/steeple.inference.v1."
METHODS = [
    f"{SERVICE}InferenceService/Generate",
    f"{SERVICE}InferenceService/Chat",
    f"{SERVICE}TokenizationService/Tokenize",
    f"{SERVICE}ModelService/GetModel",
    f"{SERVICE}ModelService/ListModels",
    f"{SERVICE}LoadService/GetLoad",
]
PYTHON = re.compile(r"\w(Error|Exception)|Traceback|protobuf|\.py\b|steeple[._]|0x[0-9a-f]{6}")
ALLOWED = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
VALID = generate_pb2.GenerateRequest(text="hello")
VALID.stopping.max_tokens = 2
CASES = {
    "invalid UTF-8": b"\x1a\x02\xff\xfe",
    "truncated varint": b"\x08\xff\xff\xff",
    "endless varint": b"\x08" + b"\xff" * 20,
    "length beyond the end": b"\x1a\x7fabc",
    "wrong wire type": b"\x18\x01",
    "group without an end": b"\x0b" * 300,
    "field number 0": b"\x02\x00",
    "end of a group that never began": b"\x0c",
}


@pytest.fixture(scope="module")
def channel(calm: Cluster) -> Iterator[grpc.Channel]:
    with open_sync_channel(calm.target) as opened:
        yield opened


# Bytes go out as they are: nothing serializes them, so the stubs know no type of message.
def _sender(channel: grpc.Channel, method: str) -> Any:
    return channel.unary_unary(method)


def _status(channel: grpc.Channel, method: str, data: bytes) -> tuple[grpc.StatusCode, str]:
    try:
        _sender(channel, method)(data, timeout=20)
    except grpc.RpcError as error:
        return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", CASES)
def test_malformed_bytes_are_the_callers_fault(
    channel: grpc.Channel, method: str, case: str
) -> None:
    code, told = _status(channel, method, CASES[case])
    assert code in ALLOWED, (code, told)
    assert not PYTHON.search(told), told


def test_200_deep_nesting_is_refused(channel: grpc.Channel) -> None:
    """An unknown group in a group in a group: the parser gives up, and we say what it was."""
    deep = b"\xa3\x06" * 200 + b"\xa4\x06" * 200
    code, told = _status(channel, METHODS[0], deep)
    assert (code, told) == (grpc.StatusCode.INVALID_ARGUMENT, "malformed request message")


def test_unknown_fields_are_ignored(channel: grpc.Channel) -> None:
    """A newer client's fields do not break an older server."""
    extra = b"\xf2\x3f\x05later"
    code, told = _status(channel, METHODS[0], VALID.SerializeToString() + extra)
    assert (code, told) == (grpc.StatusCode.OK, "")


@settings(
    max_examples=count(150, 20_000),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    method=st.sampled_from(METHODS),
    data=st.one_of(
        st.binary(max_size=300),
        # A valid message with bytes cut out, put in or changed.
        st.tuples(st.integers(0, 40), st.integers(0, 8), st.binary(max_size=8)).map(
            lambda cut: (
                VALID.SerializeToString()[: cut[0]]
                + cut[2]
                + VALID.SerializeToString()[cut[0] + cut[1] :]
            )
        ),
    ),
)
def test_any_bytes_get_a_typed_answer(channel: grpc.Channel, method: str, data: bytes) -> None:
    code, told = _status(channel, method, data)
    assert code in ALLOWED, (code, told)
    assert not PYTHON.search(told), told


def test_a_neighbour_of_a_storm_of_bytes_is_served_unchanged(
    calm: Cluster, channel: grpc.Channel
) -> None:
    """Differential: the same answer with and without the storm."""
    with Client(calm.target) as client:
        quiet = client.generate("neighbour", max_tokens=60, temperature=0.0)
        stream = client.generate_stream("neighbour", max_tokens=60, temperature=0.0)
        texts = []
        for number, event in enumerate(stream):
            texts.append(getattr(event, "text", ""))
            _status(channel, METHODS[number % len(METHODS)], bytes([number % 256]) * number)
    assert "".join(texts) == quiet.text
