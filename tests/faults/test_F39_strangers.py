"""F-39: what a caller without a token finds out: whether the gateway serves, and nothing else."""

import socket
from importlib import metadata
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from gateway.__main__ import SERVICES
from steeple.inference.v1 import (
    embedding_service_pb2,
    inference_service_pb2,
    load_service_pb2,
    model_service_pb2,
    tokenization_service_pb2,
)
from steeple_demo import model_dir
from steeple_rpc.channel import open_channel
from steeple_rpc.server import add_reflection
from steeple_rpc.status import from_call
from tests.support.certificates import Authority
from tests.support.deployment import TIMEOUT_S
from tests.support.guarded import ALICE, GuardedGateway
from tests.support.servers import ServerSettings, serving

FILES = (
    inference_service_pb2,
    embedding_service_pb2,
    tokenization_service_pb2,
    model_service_pb2,
    load_service_pb2,
)
METHODS = [
    (f"/{service.full_name}/{method.name}", method.server_streaming)
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
# The second one once this file's tests together have failed too often.
CLOSED = ("TOKEN_MISSING", "TOO_MANY_AUTH_FAILURES")
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


def asked(channel: grpc.Channel, method: str, *, is_streaming: bool, data: bytes = b"") -> Any:
    """How a call without a token ends."""
    # Bytes in, and of calls without a type.
    call: Any = channel.unary_stream(method) if is_streaming else channel.unary_unary(method)
    with pytest.raises(grpc.RpcError) as caught:
        list(call(data, timeout=TIMEOUT_S))
    return caught.value


def test_health_tells_a_stranger_whether_the_gateway_serves(guarded: GuardedGateway) -> None:
    """And no more than that."""
    with guarded.channel() as channel:
        health = health_pb2_grpc.HealthStub(channel)
        reply = health.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
    assert reply == health_pb2.HealthCheckResponse(status=reply.SERVING)


def test_every_method_of_the_contract_is_closed(guarded: GuardedGateway) -> None:
    """Found by its descriptors, so that a new one is in this test the day it is written."""
    assert {method.split("/")[1] for method, _ in METHODS} == set(SERVICES)
    with guarded.channel() as channel:
        for method, is_streaming in METHODS:
            error = from_call(asked(channel, method, is_streaming=is_streaming))
            assert error.reason in CLOSED, method


def test_bytes_that_are_no_message_are_not_even_told_so(guarded: GuardedGateway) -> None:
    """What a stranger sends is not looked at: it counts as a failure to prove a name."""
    with guarded.channel() as channel:
        for method, is_streaming in METHODS:
            error = asked(channel, method, is_streaming=is_streaming, data=b"\xff\xff\xff")
            assert from_call(error).reason in CLOSED, method


def test_reflection_is_closed_even_where_it_is_on(guarded: GuardedGateway) -> None:
    requests = [reflection_pb2.ServerReflectionRequest(list_services="")]
    with guarded.channel() as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            list(stub.ServerReflectionInfo(iter(requests), timeout=TIMEOUT_S))
        assert from_call(caught.value).reason in CLOSED
        token = (("authorization", f"Bearer {guarded.tokens[ALICE]}"),)
        (reply,) = stub.ServerReflectionInfo(iter(requests), timeout=TIMEOUT_S, metadata=token)
    assert {each.name for each in reply.list_services_response.service} >= set(SERVICES)


def test_there_is_no_channelz_and_no_metrics_port(guarded: GuardedGateway) -> None:
    """Off by default; nothing of grpc's own inspection is served at all."""
    with guarded.channel() as channel:
        error = asked(channel, "/grpc.channelz.v1.Channelz/GetServers", is_streaming=False)
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "metrics_serving" not in guarded.service.names()


def test_no_reply_tells_a_path_a_host_or_a_version(guarded: GuardedGateway) -> None:
    """Refusals to strangers, and the fullest reply that a principal can get."""
    told = []
    with guarded.channel() as channel:
        for method, is_streaming in METHODS:
            error = asked(channel, method, is_streaming=is_streaming)
            told.append(f"{error.details()} {error.trailing_metadata()} {error.initial_metadata()}")
    with guarded.client(ALICE) as client:
        told.append(str(client.model()))
        told.append(str(client.generate("2+2=", max_tokens=1)))
    versions = [metadata.version(name) for name in ("grpcio", "torch", "ibm-fms")]
    for secret in (str(model_dir()), str(guarded.hashes), socket.gethostname(), *versions):
        assert [each for each in told if secret in each] == []


@pytest.mark.parametrize(
    ("listen", "given", "is_on"),
    [
        ("127.0.0.1:0", None, True),
        ("127.0.0.1:0", False, False),
        ("0.0.0.0:0", None, False),
        ("0.0.0.0:0", True, True),
    ],
)
async def test_reflection_is_on_by_default_on_loopback_only(
    tmp_path: Path, *, listen: str, given: bool | None, is_on: bool
) -> None:
    """Beyond loopback it takes its own switch, with TLS as without."""
    authority = Authority(tmp_path)
    settings = authority.server()

    def add(server: grpc.aio.Server) -> None:
        add_reflection(server, ServerSettings(listen=listen, reflection=given, **settings), [])

    async with serving(add, listen=listen, reflection=given, **settings) as served:
        address = served.address.replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - replaced
        async with open_channel(address, authority.client()) as channel:
            call: Any = channel.stream_stream(REFLECTION)(timeout=TIMEOUT_S)
            await call.done_writing()
            code = await call.code()
    assert (code is grpc.StatusCode.OK) is is_on
    assert is_on or code is grpc.StatusCode.UNIMPLEMENTED
