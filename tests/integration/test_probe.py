"""`python -m steeple_rpc.probe` against servers of ours, as a container runs it."""

import asyncio
import sys
from pathlib import Path

from grpc_health.v1 import health_pb2

from steeple_rpc.lifecycle import LIVENESS, READINESS
from tests.support.certificates import Authority
from tests.support.servers import Serving, serving

State = health_pb2.HealthCheckResponse.ServingStatus


async def probe(*arguments: str) -> tuple[int | None, str]:
    """Its exit status, and what it wrote."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "steeple_rpc.probe", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate()
    return process.returncode, told.decode()


def told(served: Serving, *, ready: bool) -> None:
    """Let a server's health say so; it lives in any case."""
    served.health.set(LIVENESS, serving=True)
    served.health.set(READINESS, serving=ready)


async def test_a_service_that_serves_is_told_by_status_0_and_no_word() -> None:
    async with serving() as served:
        told(served, ready=True)
        assert await probe(served.address) == (0, "")


async def test_a_service_that_loads_lives_and_is_not_ready() -> None:
    """Readiness and liveness are two questions: whoever loads for long must not be killed."""
    async with serving() as served:
        told(served, ready=False)
        assert await probe(served.address) == (1, "error: NOT_SERVING\n")
        assert await probe(served.address, "--service", LIVENESS) == (0, "")


async def test_nobody_at_the_address_is_told_in_one_line() -> None:
    async with serving() as served:
        address = served.address
    status, line = await probe(address)
    assert status == 1
    assert line.startswith("error: UNAVAILABLE: ")
    assert line.count("\n") == 1


async def test_a_service_that_does_not_answer_is_not_waited_for() -> None:
    """A port that takes connections and says nothing, as a process that is stuck."""

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as stuck:
        port = stuck.sockets[0].getsockname()[1]
        status, line = await probe(f"127.0.0.1:{port}", "--timeout-s", "0.5")
    assert (status, line.split(":")[:2]) == (1, ["error", " DEADLINE_EXCEEDED"])


async def test_mutual_tls_is_probed_with_a_certificate(tmp_path: Path) -> None:
    """Also where the server's is for another name than the loopback that a probe calls."""
    authority = Authority(tmp_path)
    client = authority.issue("probe", "probe@test.invalid")
    server = authority.server("gateway", mtls=True)
    other = authority.issue("named", "gateway.test.invalid")
    shown = ["--tls-cert", str(client.cert), "--tls-key", str(client.key)]
    async with serving(**server) as served:
        told(served, ready=True)
        by_tls = [served.address, "--tls-ca", str(authority.ca)]
        assert await probe(*by_tls, *shown) == (0, "")
        assert (await probe(*by_tls))[0] == 1
    async with serving(tls_cert=other.cert, tls_key=other.key) as served:
        told(served, ready=True)
        by_tls = [served.address, "--tls-ca", str(authority.ca)]
        assert await probe(*by_tls, "--tls-server-name", "gateway.test.invalid") == (0, "")
        assert (await probe(*by_tls))[0] == 1


async def test_files_that_cannot_be_used_are_told_in_one_line(tmp_path: Path) -> None:
    missing = tmp_path / "ca.pem"
    status, line = await probe("127.0.0.1:1", "--tls-ca", str(missing))
    assert status == 1
    assert line.startswith("error: ")
    assert str(missing) in line
    assert line.count("\n") == 1
