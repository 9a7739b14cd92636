"""F-37: callers that do not speak our TLS, or cannot prove who they are.

Each is kept out by the handshake; a stream that runs meanwhile, and the next good caller, notice
nothing.
"""

import asyncio
import socket
import ssl
import warnings
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from steeple.inference.v1 import generate_pb2, inference_service_pb2_grpc
from steeple_rpc.auth.authenticators import ClientCertificates
from steeple_rpc.auth.failures import FailureLimit
from steeple_rpc.auth.interceptor import AuthInterceptor
from steeple_rpc.channel import open_channel
from steeple_rpc.context import current_rpc
from steeple_rpc.errors import Unavailable
from steeple_rpc.refused import TlsRefused
from steeple_rpc.server import BindRefused, bind, make_server
from steeple_rpc.tls.channel_tls import ChannelTls
from tests.support.certificates import Authority, expired, not_yet_valid
from tests.support.scripted import ScriptedInference
from tests.support.servers import ServerSettings, Serving, failure, serving
from tests.support.waiting import LIMIT_S

TIMEOUT_S = 30
FAILED = "Handshake failed"


class Counting:
    """Streams until it is told to end; knows who has entered."""

    def __init__(self) -> None:
        self.entered: list[str] = []
        self.script = ScriptedInference(generate=self._generate, generate_stream=self._stream)
        self.go_on = asyncio.Semaphore(0)

    async def _generate(
        self, request: generate_pb2.GenerateRequest
    ) -> generate_pb2.GenerateResponse:
        self.entered.append(current_rpc().principal.name)
        return generate_pb2.GenerateResponse()

    async def _stream(
        self, request: generate_pb2.GenerateStreamRequest
    ) -> AsyncGenerator[generate_pb2.GenerateStreamResponse, None]:
        while True:
            yield generate_pb2.GenerateStreamResponse()
            await self.go_on.acquire()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


@pytest.fixture
def foreign(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "foreign")


@pytest.fixture
async def counting() -> Counting:
    return Counting()


@pytest.fixture
async def served(counting: Counting, authority: Authority) -> AsyncIterator[Serving]:
    """TLS, certificates of clients not asked for."""
    async with serving(counting.script.add_to, **authority.server()) as served:
        yield served


@pytest.fixture
async def mutual(counting: Counting, authority: Authority) -> AsyncIterator[Serving]:
    """Mutual TLS; the certificate's name is the principal."""
    guard = AuthInterceptor(ClientCertificates(), FailureLimit(lambda: 0.0))
    settings = authority.server(mtls=True)
    async with serving(counting.script.add_to, interceptors=[guard], **settings) as served:
        yield served


async def generate(address: str, tls: ChannelTls | None) -> Any:
    async with open_channel(address, tls) as channel:
        stub = inference_service_pb2_grpc.InferenceServiceStub(channel)
        return await stub.Generate(generate_pb2.GenerateRequest(), timeout=TIMEOUT_S)


@asynccontextmanager
async def undisturbed(counting: Counting, address: str, tls: ChannelTls) -> AsyncIterator[None]:
    """A stream runs through the block; after it the next caller is served."""
    async with open_channel(address, tls) as channel:
        stub = inference_service_pb2_grpc.InferenceServiceStub(channel)
        call = stub.GenerateStream(generate_pb2.GenerateStreamRequest(), timeout=TIMEOUT_S)
        try:
            assert await call.read() == generate_pb2.GenerateStreamResponse()
            yield
            assert counting.entered == []
            counting.go_on.release()
            assert await call.read() == generate_pb2.GenerateStreamResponse()
        finally:
            call.cancel()
    await generate(address, tls)
    assert len(counting.entered) == 1


async def test_plaintext_to_a_tls_port_is_refused(
    counting: Counting, served: Serving, authority: Authority
) -> None:
    async with undisturbed(counting, served.address, authority.client()):
        assert isinstance(await failure(generate(served.address, None)), Unavailable)


async def test_a_client_that_trusts_another_authority_does_not_connect(
    counting: Counting, served: Serving, authority: Authority, foreign: Authority
) -> None:
    async with undisturbed(counting, served.address, authority.client()):
        error = await failure(generate(served.address, foreign.client()))
        assert isinstance(error, Unavailable)
        assert "CERTIFICATE_VERIFY_FAILED" in error.message


async def test_a_server_of_another_name_is_not_talked_to(
    counting: Counting, served: Serving, authority: Authority
) -> None:
    """Its certificate is for this machine, the client wants another; and with the name it works."""
    elsewhere = ChannelTls(ca=authority.ca, server_name="gateway.test.invalid")
    async with undisturbed(counting, served.address, authority.client()):
        assert isinstance(await failure(generate(served.address, elsewhere)), Unavailable)
    named = ChannelTls(ca=authority.ca, server_name="localhost")
    await generate(served.address, named)


@pytest.mark.parametrize("validity", [expired, not_yet_valid])
async def test_a_server_whose_certificate_is_not_valid_now_is_not_talked_to(
    counting: Counting, authority: Authority, validity: Any
) -> None:
    """Ours would not start with it, so grpcio's plain credentials play the careless server."""
    settings = authority.server(**validity())
    pair = (settings["tls_key"].read_bytes(), settings["tls_cert"].read_bytes())
    server = grpc.aio.server()
    counting.script.add_to(server)
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    await server.start()
    try:
        error = await failure(generate(f"127.0.0.1:{port}", authority.client()))
    finally:
        await server.stop(0)
    assert isinstance(error, Unavailable)
    assert "CERTIFICATE_VERIFY_FAILED" in error.message
    assert counting.entered == []


@pytest.mark.parametrize("validity", [expired, not_yet_valid])
async def test_a_server_does_not_start_with_a_certificate_that_is_not_valid_now(
    authority: Authority, validity: Any
) -> None:
    settings = ServerSettings(**authority.server(**validity()))
    with pytest.raises(TlsRefused, match=r"valid before|expired"):
        bind(make_server(settings), settings)


@pytest.mark.parametrize("kind", ["plaintext", "no certificate", "foreign", "expired", "too early"])
async def test_under_mutual_tls_only_a_good_certificate_connects(
    counting: Counting, mutual: Serving, authority: Authority, foreign: Authority, kind: str
) -> None:
    mallory: ChannelTls | None
    match kind:
        case "plaintext":
            mallory = None
        case "no certificate":
            mallory = authority.client()
        case "foreign":
            shown = foreign.client("alice")
            mallory = ChannelTls(ca=authority.ca, cert=shown.cert, key=shown.key)
        case "expired":
            mallory = authority.client("mallory")
            _replace(mallory, authority.issue("late", "alice@test.invalid", **expired()))
        case _:
            mallory = authority.client("mallory")
            _replace(mallory, authority.issue("early", "alice@test.invalid", **not_yet_valid()))
    async with undisturbed(counting, mutual.address, authority.client("alice")):
        assert isinstance(await failure(_careless(mutual.address, mallory)), Unavailable)
    assert counting.entered == ["alice"]


def _replace(tls: ChannelTls, issued: Any) -> None:
    """Other files under the names that `tls` has."""
    assert tls.cert is not None
    assert tls.key is not None
    tls.cert.write_bytes(issued.cert.read_bytes())
    tls.key.write_bytes(issued.key.read_bytes())


async def _careless(address: str, tls: ChannelTls | None) -> Any:
    """As `generate`, without our client's own check of what it shows."""
    if tls is None or tls.ca is None or tls.cert is None or tls.key is None:
        return await generate(address, tls)
    shown = (tls.key.read_bytes(), tls.cert.read_bytes())
    credentials = grpc.ssl_channel_credentials(tls.ca.read_bytes(), *shown)
    async with grpc.aio.secure_channel(address, credentials) as channel:
        stub = inference_service_pb2_grpc.InferenceServiceStub(channel)
        return await stub.Generate(generate_pb2.GenerateRequest(), timeout=TIMEOUT_S)


def _shake(address: str, newest: ssl.TLSVersion) -> str | None:
    """The version that a client up to `newest` agrees on with the server; None if on none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    # This machine's own policy must not be what refuses.
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = newest
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=TIMEOUT_S) as connection:
        try:
            with context.wrap_socket(connection) as secured:
                return secured.version()
        except OSError:
            return None


async def test_tls_before_1_2_is_refused_and_told_in_one_line(
    counting: Counting, served: Serving, authority: Authority, capfd: pytest.CaptureFixture[str]
) -> None:
    """The line is the library's own, on standard error."""
    async with undisturbed(counting, served.address, authority.client()):
        capfd.readouterr()
        assert await asyncio.to_thread(_shake, served.address, ssl.TLSVersion.TLSv1) is None
        assert await asyncio.to_thread(_shake, served.address, ssl.TLSVersion.TLSv1_1) is None
        told = await _failures_told(capfd, number=2)
        for version, name in (
            (ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
            (ssl.TLSVersion.TLSv1_3, "TLSv1.3"),
        ):
            assert await asyncio.to_thread(_shake, served.address, version) == name
    told += capfd.readouterr().err
    assert told.count(FAILED) == 2


async def _failures_told(capfd: pytest.CaptureFixture[str], number: int) -> str:
    """What is on standard error once so many handshakes are told of as failed.

    The client may know of its end before a thread of the server's tells it.
    """
    told = ""
    async with asyncio.timeout(LIMIT_S):
        while told.count(FAILED) < number:
            await asyncio.sleep(0.01)
            told += capfd.readouterr().err
    return told


async def test_beyond_loopback_tls_or_the_explicit_switch_is_needed(authority: Authority) -> None:
    refused = ServerSettings(listen="0.0.0.0:0")
    with pytest.raises(BindRefused, match=r"--tls-cert.*--insecure-bind"):
        bind(make_server(refused), refused)
    for given in (authority.server(), {"insecure_bind": True}):
        settings = ServerSettings(listen="0.0.0.0:0", **given)
        assert bind(make_server(settings), settings).startswith("0.0.0.0:")
