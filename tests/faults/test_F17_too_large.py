"""F-17: messages too large for the limit: RESOURCE_EXHAUSTED, and no memory is spent on them."""

from collections.abc import Iterator
from typing import Any

import grpc
import psutil
import pytest

from steeple.inference.v1 import generate_pb2
from steeple_client import Client
from steeple_rpc.channel import open_sync_channel
from tests.support.cluster import Cluster

LIMIT = 4 << 20
METHOD = "/steeple.inference.v1.InferenceService/Generate"
BOMB_BYTES = 300 << 20


@pytest.fixture
def channel(calm: Cluster) -> Iterator[grpc.Channel]:
    with open_sync_channel(calm.target) as opened:
        yield opened


def _rss(cluster: Cluster) -> int:
    rss: int = psutil.Process(cluster.gateway.process.pid).memory_info().rss
    return rss


def _refused(call: grpc.Call | grpc.RpcError) -> bool:
    return call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("size", [LIMIT + 1, 16 << 20, 200 << 20])
def test_a_message_over_the_limit_is_refused(
    calm: Cluster, channel: grpc.Channel, size: int
) -> None:
    """One byte over or fifty times: the same status, and the gateway does not grow with it."""
    before = _rss(calm)
    send: Any = channel.unary_unary(METHOD)
    for _ in range(3):
        with pytest.raises(grpc.RpcError) as caught:
            send(bytes(size), timeout=60)
        assert _refused(caught.value)
    assert _rss(calm) - before < 2 * LIMIT + (16 << 20)
    with Client(calm.target) as client:
        assert client.generate("still here", max_tokens=2).text


def test_a_compressed_bomb_is_refused_by_what_it_unpacks_to(
    calm: Cluster, channel: grpc.Channel
) -> None:
    """A small message of one letter, a hundred times the limit when unpacked."""
    before = _rss(calm)
    send: Any = channel.unary_unary(METHOD)
    field = b"\x1a" + _varint(BOMB_BYTES) + b"a" * BOMB_BYTES
    with pytest.raises(grpc.RpcError) as caught:
        send(field, timeout=120, compression=grpc.Compression.Gzip)
    assert _refused(caught.value)
    assert _rss(calm) - before < 2 * LIMIT + (16 << 20)


def test_a_reply_is_never_cut_by_the_limit_of_requests(calm: Cluster) -> None:
    """A prompt right under the limit is refused for what it is: too long for the context."""
    request = generate_pb2.GenerateRequest(text="a" * (LIMIT - 64))
    assert request.ByteSize() < LIMIT
    with open_sync_channel(calm.target) as opened:
        send: Any = opened.unary_unary(METHOD, generate_pb2.GenerateRequest.SerializeToString)
        with pytest.raises(grpc.RpcError) as caught:
            send(request, timeout=60)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
