"""What grpcio does with connections and calls: the facts that our options answer.

Where a default is a trap, the trap is shown beside our answer: a grpcio that changes either turns
a test red.
"""

import asyncio
import signal
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import closing

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from steeple.inference.v1 import generate_pb2, inference_service_pb2_grpc
from steeple_demo import model_dir
from steeple_rpc.channel import channel_options, open_channel
from steeple_rpc.errors import Unavailable
from steeple_rpc.server import HANDSHAKE_TIMEOUT_MS
from tests.support.deployment import Service
from tests.support.scripted import ScriptedInference
from tests.support.servers import Serving, serving

SERVING = health_pb2.HealthCheckResponse.SERVING
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PING_MS = 1_000
FREQUENT_PINGS = {"grpc.keepalive_time_ms": PING_MS}
QUICK_PINGS = {
    **FREQUENT_PINGS,
    "grpc.keepalive_timeout_ms": PING_MS,
    "grpc.http2.ping_timeout_ms": PING_MS,
}
TIMEOUT_S = 30.0
"""Of calls that are answered."""


async def _answer(_: generate_pb2.GenerateRequest) -> generate_pb2.GenerateResponse:
    return generate_pb2.GenerateResponse()


@pytest.fixture
async def served() -> AsyncIterator[Serving]:
    async with serving(ScriptedInference(generate=_answer).add_to) as served:
        yield served


@pytest.fixture
def process() -> Iterator[Service]:
    """A service of ours in a process that can be stopped."""
    service = Service("tokenizer_svc", [f"--model=demo={model_dir()}"])
    try:
        assert service.address
        yield service
    finally:
        service.signal(signal.SIGCONT)
        service.stop()


async def _code_of(call: Awaitable[object]) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_a_burst_of_calls_ends_none_of_them_by_itself(served: Serving) -> None:
    """With default limits on pending requests, thousands at once end CANCELLED by chance."""
    async with open_channel(served.address) as channel:
        stub = inference_service_pb2_grpc.InferenceServiceStub(channel)
        request = generate_pb2.GenerateRequest()
        codes = await asyncio.gather(
            *(_code_of(stub.Generate(request, timeout=60)) for _ in range(3000))
        )
    assert Counter(codes) == {grpc.StatusCode.OK: 3000}


async def _watch_ends(
    target: str,
    options: dict[str, int],
    limit_s: float,
    begun: asyncio.Event | None = None,
) -> grpc.StatusCode:
    """How a quiet stream ends within the limit; OK if it is still open then."""
    pairs = list({**dict(channel_options()), **options}.items())
    async with grpc.aio.insecure_channel(target, options=pairs) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        try:
            async with asyncio.timeout(limit_s):
                await _drained(watch, begun or asyncio.Event())
        except grpc.aio.AioRpcError as error:
            return error.code()
        except TimeoutError:
            return grpc.StatusCode.OK
        finally:
            watch.cancel()
    raise AssertionError("a watch never ends OK")


async def _drained(watch: AsyncIterator[object], begun: asyncio.Event) -> None:
    async for _ in watch:
        begun.set()


async def _watched(process: Service, options: dict[str, int]) -> "asyncio.Task[grpc.StatusCode]":
    """A watch of the process that has begun: its connection is there."""
    begun = asyncio.Event()
    watching = asyncio.create_task(_watch_ends(process.address, options, TIMEOUT_S, begun))
    async with asyncio.timeout(TIMEOUT_S):
        await begun.wait()
    return watching


async def _plain_server() -> tuple[grpc.aio.Server, int]:
    """As grpcio makes it."""
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, port


async def test_a_quiet_call_survives_frequent_pings(served: Serving) -> None:
    """A server by default kills it for "too many pings" within seconds."""
    plain, port = await _plain_server()
    try:
        theirs, ours = await asyncio.gather(
            _watch_ends(f"127.0.0.1:{port}", FREQUENT_PINGS, TIMEOUT_S),
            _watch_ends(served.address, FREQUENT_PINGS, 8.0),
        )
    finally:
        await plain.stop(0)
    assert theirs is grpc.StatusCode.UNAVAILABLE
    assert ours is grpc.StatusCode.OK


async def test_a_stopped_peer_is_noticed(process: Service) -> None:
    """Within a few pings; without a ping timeout it takes a minute, whatever keepalive says."""
    watching = await _watched(process, QUICK_PINGS)
    process.signal(signal.SIGSTOP)
    start = time.monotonic()
    assert await watching is grpc.StatusCode.UNAVAILABLE
    assert time.monotonic() - start < 10 * PING_MS / 1e3


async def test_a_killed_peer_is_noticed_at_once(process: Service) -> None:
    watching = await _watched(process, {})
    process.signal(signal.SIGKILL)
    start = time.monotonic()
    assert await watching is grpc.StatusCode.UNAVAILABLE
    assert time.monotonic() - start < 5.0


def _connection(target: str, sent: bytes) -> socket.socket:
    host, _, port = target.rpartition(":")
    peer = socket.create_connection((host, int(port)))
    peer.sendall(sent)
    return peer


def _closed_after(peer: socket.socket, limit_s: float) -> float:
    """Seconds until the server has closed a connection."""
    start = time.monotonic()
    peer.settimeout(limit_s)
    try:
        while peer.recv(4096):
            pass
    except TimeoutError:
        raise AssertionError(f"still open after {limit_s} s") from None
    except ConnectionError:
        pass
    return time.monotonic() - start


HALF_OPEN = [b"", PREFACE[:8], PREFACE]
"""Nothing; half a preface; no settings."""
JUNK = {
    "HTTP/1": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": bytes.fromhex("160301020001") + b"\0" * 60,
    "frames of noise": PREFACE + b"\xff" * 64,
}


async def _answers(served: Serving) -> bool:
    async with open_channel(served.address) as channel:
        stub = inference_service_pb2_grpc.InferenceServiceStub(channel)
        code = await _code_of(stub.Generate(generate_pb2.GenerateRequest(), timeout=TIMEOUT_S))
    return code is grpc.StatusCode.OK


async def test_half_open_connections_are_closed(served: Serving) -> None:
    """At our handshake timeout; by default they hold their descriptors for a minute."""
    limit_s = HANDSHAKE_TIMEOUT_MS / 1e3 + 5
    peers = [_connection(served.address, sent) for sent in HALF_OPEN * 5]
    try:
        assert await _answers(served)
        await asyncio.gather(*(asyncio.to_thread(_closed_after, p, limit_s) for p in peers))
    finally:
        for peer in peers:
            peer.close()
    assert await _answers(served)


@pytest.mark.parametrize("kind", JUNK)
async def test_what_is_not_grpc_is_closed_at_once(served: Serving, kind: str) -> None:
    """Other connections are unharmed."""
    with closing(_connection(served.address, JUNK[kind])) as peer:
        # Sooner than one that says nothing.
        await asyncio.to_thread(_closed_after, peer, HANDSHAKE_TIMEOUT_MS / 1e3 - 0.5)
    assert await _answers(served)


async def test_a_proxy_of_the_environment_is_not_used(
    served: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default even loopback goes through it: here it would lead nowhere."""
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("no_grpc_proxy", raising=False)
    async with grpc.aio.insecure_channel(served.address) as channel:
        stub = inference_service_pb2_grpc.InferenceServiceStub(channel)
        call = stub.Generate(generate_pb2.GenerateRequest(), timeout=5)
        assert await _code_of(call) is not grpc.StatusCode.OK
    assert await _answers(served)


async def test_a_fresh_health_service_of_grpcio_says_serving() -> None:
    """Why ours is told NOT_SERVING before the port opens."""
    server, port = await _plain_server()
    try:
        async with open_channel(f"127.0.0.1:{port}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            assert (await stub.Check(health_pb2.HealthCheckRequest())).status == SERVING
    finally:
        await server.stop(0)


async def test_a_refused_call_is_made_once() -> None:
    """Retries are ours to decide; the library makes none behind our back."""
    attempts = 0

    async def unavailable(_: generate_pb2.GenerateRequest) -> generate_pb2.GenerateResponse:
        nonlocal attempts
        attempts += 1
        raise Unavailable("not now", reason="STARTING")

    async with (
        serving(ScriptedInference(generate=unavailable).add_to) as served,
        open_channel(served.address) as channel,
    ):
        stub = inference_service_pb2_grpc.InferenceServiceStub(channel)
        code = await _code_of(stub.Generate(generate_pb2.GenerateRequest(), timeout=TIMEOUT_S))
    assert (code, attempts) == (grpc.StatusCode.UNAVAILABLE, 1)


async def test_a_deadline_that_is_over_is_told_as_such(served: Serving) -> None:
    async with open_channel(served.address) as channel:
        stub = inference_service_pb2_grpc.InferenceServiceStub(channel)
        code = await _code_of(stub.Generate(generate_pb2.GenerateRequest(), timeout=-1.0))
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
