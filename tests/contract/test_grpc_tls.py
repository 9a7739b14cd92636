"""TLS as we rely on it: files that change count from the next connection on; what keys are for."""

from collections.abc import AsyncGenerator
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from steeple.inference.v1 import generate_pb2, inference_service_pb2_grpc
from steeple_rpc.channel import open_channel
from steeple_rpc.errors import Unavailable
from steeple_rpc.tls.channel_tls import ChannelTls
from tests.support.certificates import Authority, PrivateKey, self_signed
from tests.support.scripted import ScriptedInference
from tests.support.servers import failure, serving


async def _answer(request: generate_pb2.GenerateRequest) -> generate_pb2.GenerateResponse:
    return generate_pb2.GenerateResponse()


async def _stream(
    request: generate_pb2.GenerateStreamRequest,
) -> AsyncGenerator[generate_pb2.GenerateStreamResponse, None]:
    while True:
        yield generate_pb2.GenerateStreamResponse()


async def generate(address: str, tls: ChannelTls) -> None:
    async with open_channel(address, tls) as channel:
        stub = inference_service_pb2_grpc.InferenceServiceStub(channel)
        await stub.Generate(generate_pb2.GenerateRequest(), timeout=30)


@pytest.fixture
def script() -> ScriptedInference:
    return ScriptedInference(generate=_answer, generate_stream=_stream)


async def test_a_renewed_certificate_counts_from_the_next_connection_on(
    script: ScriptedInference, tmp_path: Path
) -> None:
    """A stream that runs keeps its connection and goes on."""
    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    settings = old.server()
    async with (
        serving(script.add_to, **settings) as served,
        open_channel(served.address, old.client()) as channel,
    ):
        stub = inference_service_pb2_grpc.InferenceServiceStub(channel)
        call = stub.GenerateStream(generate_pb2.GenerateStreamRequest(), timeout=60)
        await call.read()
        renewed = new.issue("server")
        settings["tls_cert"].write_bytes(renewed.cert.read_bytes())
        settings["tls_key"].write_bytes(renewed.key.read_bytes())
        await generate(served.address, new.client())
        assert isinstance(await failure(generate(served.address, old.client())), Unavailable)
        await call.read()
        call.cancel()
        assert [log["event"] for log in served.logs if "certificates" in log["event"]] == [
            "certificates_read"
        ]


async def test_a_half_written_pair_keeps_the_old_one_until_it_is_whole(
    script: ScriptedInference, tmp_path: Path
) -> None:
    """Told once, naming the file; the next look after the second file heals it."""
    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    settings = old.server()
    async with serving(script.add_to, **settings) as served:
        renewed = new.issue("server")
        settings["tls_cert"].write_bytes(renewed.cert.read_bytes())
        for _ in range(3):
            await generate(served.address, old.client())
        (line,) = [log for log in served.logs if log["event"] == "certificates_kept"]
        assert "does not belong" in line["detail"]
        settings["tls_key"].write_bytes(renewed.key.read_bytes())
        await generate(served.address, new.client())


async def test_an_exchanged_client_authority_shuts_out_who_the_old_one_vouched_for(
    script: ScriptedInference, tmp_path: Path
) -> None:
    """Under mutual TLS, from the next connection on."""
    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    settings = old.server(mtls=True)
    alice, bob = old.client("alice"), new.client("bob")
    bob = ChannelTls(ca=old.ca, cert=bob.cert, key=bob.key)
    ca = tmp_path / "clients.pem"
    ca.write_bytes(old.ca.read_bytes())
    settings["tls_client_ca"] = ca
    async with serving(script.add_to, **settings) as served:
        await generate(served.address, alice)
        assert isinstance(await failure(generate(served.address, bob)), Unavailable)
        ca.write_bytes(new.ca.read_bytes())
        await generate(served.address, bob)
        assert isinstance(await failure(generate(served.address, alice)), Unavailable)


@pytest.mark.parametrize(
    "key",
    [ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP521R1())],
    ids=["Ed25519", "P-521"],
)
async def test_with_a_key_of_another_kind_grpcio_serves_and_nobody_connects(
    key: PrivateKey, tmp_path: Path
) -> None:
    """So we refuse such a key before: tests/unit/steeple_rpc/test_pem_files.py."""
    issued = self_signed(tmp_path, key)
    pair = (issued.key.read_bytes(), issued.cert.read_bytes())
    server = grpc.aio.server()
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    await server.start()
    try:
        error = await failure(generate(f"127.0.0.1:{port}", ChannelTls(ca=issued.cert)))
        assert isinstance(error, Unavailable)
    finally:
        await server.stop(0)
