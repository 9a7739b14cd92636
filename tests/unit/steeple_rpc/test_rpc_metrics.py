"""RPCs as a server's metrics tell them, and the port they are told on."""

import asyncio
import http.client
import socket
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
import structlog
from prometheus_client import CollectorRegistry, Gauge

from steeple.inference.v1 import generate_pb2, inference_service_pb2_grpc
from steeple_rpc.channel import open_channel
from steeple_rpc.errors import Overloaded
from steeple_rpc.metrics import OTHER, BoundedLabel, RpcMetrics, make_registry
from steeple_rpc.metrics_server import MAX_SCRAPES, metrics_served
from steeple_rpc.server import BindRefused
from tests.support.scraping import read, scrape
from tests.support.scripted import ScriptedInference
from tests.support.servers import ServerSettings, drained, failure, serving
from tests.support.waiting import LIMIT_S, eventually

GENERATE = "/steeple.inference.v1.InferenceService/Generate"
STREAM = "/steeple.inference.v1.InferenceService/GenerateStream"


async def answer(request: Any) -> generate_pb2.GenerateResponse:
    return generate_pb2.GenerateResponse()


async def refuse(request: Any) -> Any:
    raise Overloaded("full", reason="QUEUE_FULL")


async def break_down(request: Any) -> Any:
    raise ValueError("the secret")


async def never_end(request: Any) -> AsyncGenerator[Any, None]:
    yield generate_pb2.GenerateStreamResponse()
    await asyncio.Event().wait()


async def end(request: Any) -> AsyncGenerator[Any, None]:
    yield generate_pb2.GenerateStreamResponse()


async def raw(channel: grpc.aio.Channel, method: str, message: bytes) -> None:
    call: Any = channel.unary_unary(method)
    await call(message)


async def test_an_rpc_is_counted_by_method_and_code_and_its_error_by_reason() -> None:
    registry = CollectorRegistry()
    script = ScriptedInference(generate=answer)
    async with (
        serving(script.add_to, observers=[RpcMetrics(registry)]) as at,
        open_channel(at.address) as channel,
    ):
        stub = inference_service_pb2_grpc.InferenceServiceStub(channel)
        await stub.Generate(generate_pb2.GenerateRequest())
        script.generate = refuse
        await failure(stub.Generate(generate_pb2.GenerateRequest()))
        script.generate = break_down
        await failure(stub.Generate(generate_pb2.GenerateRequest()))
    told = read(registry)
    for code in ("OK", "RESOURCE_EXHAUSTED", "INTERNAL"):
        assert told.value("steeple_rpcs_total", method=GENERATE, code=code) == 1
    for reason in ("QUEUE_FULL", "INTERNAL"):
        assert told.value("steeple_rpc_errors_total", method=GENERATE, reason=reason) == 1
    assert told.value("steeple_rpc_duration_seconds_count", method=GENERATE) == 3
    assert told.value("steeple_rpcs_in_flight") == 0


async def test_a_stream_is_in_flight_until_it_ends_or_is_cancelled() -> None:
    registry = CollectorRegistry()
    script = ScriptedInference(generate_stream=never_end)
    async with (
        serving(script.add_to, observers=[RpcMetrics(registry)]) as at,
        open_channel(at.address) as channel,
    ):
        stub = inference_service_pb2_grpc.InferenceServiceStub(channel)
        call = stub.GenerateStream(generate_pb2.GenerateStreamRequest())
        await call.read()
        assert read(registry).value("steeple_rpcs_in_flight", method=STREAM) == 1
        call.cancel()
        await asyncio.to_thread(
            eventually, lambda: read(registry).value("steeple_rpcs_in_flight") == 0
        )
        script.generate_stream = end
        await drained(stub.GenerateStream(generate_pb2.GenerateStreamRequest()))
    told = read(registry)
    assert told.value("steeple_rpcs_total", method=STREAM, code="CANCELLED") == 1
    assert told.value("steeple_rpcs_total", method=STREAM, code="OK") == 1


async def test_methods_that_callers_make_up_share_one_label() -> None:
    """Each name would be kept for ever."""
    registry = CollectorRegistry()
    async with (
        serving(observers=[RpcMetrics(registry)]) as at,
        open_channel(at.address) as channel,
    ):
        for name in ("/made/up", "/also.made/Up"):
            with pytest.raises(grpc.aio.AioRpcError):
                await raw(channel, name, b"")
    told = read(registry)
    assert told.labels("steeple_rpcs_total") == [{"method": "unknown", "code": "UNIMPLEMENTED"}]
    assert told.value("steeple_rpcs_total") == 2


async def test_a_handler_of_grpcs_own_that_aborts_is_counted_too() -> None:
    """Health answers NOT_FOUND for a service that it does not know, without our border's help."""
    registry = CollectorRegistry()
    async with (
        serving(observers=[RpcMetrics(registry)]) as at,
        open_channel(at.address) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError):
            await raw(channel, "/grpc.health.v1.Health/Check", b"\x0a\x02no")
    told = read(registry)
    assert told.value("steeple_rpcs_total", code="NOT_FOUND") == 1
    assert told.value("steeple_rpcs_in_flight") == 0


def test_a_label_keeps_only_so_many_values() -> None:
    label = BoundedLabel(2)
    assert [label(value) for value in "abcab"] == ["a", "b", OTHER, "a", "b"]


@contextmanager
def served(registry: CollectorRegistry, listen: str = "127.0.0.1:0") -> Iterator[str]:
    """Serve for the block; where."""
    settings = ServerSettings(metrics_listen=listen)
    with structlog.testing.capture_logs() as logs, metrics_served(settings, registry):
        yield next(str(log["address"]) for log in logs if log["event"] == "metrics_serving")


def test_a_scrape_tells_the_process_and_what_was_counted() -> None:
    registry = make_registry()
    Gauge("steeple_test", "A test.", registry=registry).set(3)
    with served(registry) as address:
        told = scrape(address)
    assert told.value("steeple_test") == 3
    assert told.value("process_resident_memory_bytes") > 0


def test_only_metrics_are_served_and_nothing_is_told_of_the_machine() -> None:
    with served(CollectorRegistry()) as address:
        for path, status in (("/metrics", 200), ("/", 404), ("/metrics/x", 404)):
            connection = http.client.HTTPConnection(address, timeout=LIMIT_S)
            connection.request("GET", path)
            reply = connection.getresponse()
            assert reply.status == status
            assert reply.headers["Server"] == "steeple"
            assert b"Python" not in reply.read()
            connection.close()


def test_silent_connections_are_bounded_and_hold_up_no_scrape() -> None:
    """What is beyond the bound is closed unread."""
    with served(CollectorRegistry()) as address:
        host, _, port = address.rpartition(":")
        silent = [socket.create_connection((host, int(port))) for _ in range(MAX_SCRAPES - 1)]
        assert scrape(address).families == []
        silent += [socket.create_connection((host, int(port))) for _ in range(2)]
        silent[-1].settimeout(LIMIT_S)
        assert silent[-1].recv(1) == b""
        for connection in silent:
            connection.close()


def test_a_metrics_address_that_cannot_be_served_is_refused_with_its_remedy() -> None:
    with served(CollectorRegistry()) as taken:
        for listen, told in (
            (taken, r"another process listens there.*\(--metrics-listen\)"),
            ("0.0.0.0:0", "--insecure-bind"),
            ("unix:/x", "takes HOST:PORT"),
            ("9090", "takes HOST:PORT"),
        ):
            settings = ServerSettings(metrics_listen=listen)
            with (
                pytest.raises(BindRefused, match=told),
                metrics_served(settings, CollectorRegistry()),
            ):
                pass
