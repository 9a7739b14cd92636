"""Which addresses only this machine reaches, and what a wrong one is told."""

from pathlib import Path

import grpc
import pytest

from steeple_rpc.address import host_of, is_local
from steeple_rpc.errors import InvalidRequest
from steeple_rpc.server import BindRefused, add_reflection, bind, make_server
from tests.support.servers import ServerSettings


@pytest.mark.parametrize(
    "address", ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "localhost:1", "unix:/run/x", "unix:x"]
)
def test_this_is_local(address: str) -> None:
    assert is_local(address)


@pytest.mark.parametrize(
    "address", ["0.0.0.0:1", "[::]:1", ":1", "10.0.0.1:1", "example.com:1", "localhost.evil.com:1"]
)
def test_this_is_not_local(address: str) -> None:
    assert not is_local(address)


@pytest.mark.parametrize(
    ("address", "host"),
    [("a.b:1", "a.b"), ("[::1]:50051", "::1"), (":1", ""), ("127.0.0.1:0", "127.0.0.1")],
)
def test_the_host_is_what_is_before_the_port(address: str, host: str) -> None:
    assert host_of(address) == host


@pytest.mark.parametrize(
    "address",
    ["", "localhost", "localhost:", "localhost:http", "a:-1", "a:٣", f"a:{'9' * 5000}", "unix:"],
)
def test_an_address_needs_a_port(address: str) -> None:
    with pytest.raises(InvalidRequest, match="HOST:PORT"):
        host_of(address)


@pytest.fixture
async def server() -> grpc.aio.Server:
    return make_server(ServerSettings())


async def test_port_0_picks_a_free_port(server: grpc.aio.Server) -> None:
    host, _, port = bind(server, ServerSettings(listen="127.0.0.1:0")).rpartition(":")
    assert host == "127.0.0.1"
    assert int(port) > 0


async def test_a_unix_socket_is_its_own_address(server: grpc.aio.Server, tmp_path: Path) -> None:
    listen = f"unix:{tmp_path}/s"
    assert bind(server, ServerSettings(listen=listen)) == listen


@pytest.mark.parametrize(
    ("listen", "why"),
    [("unix:", "neither HOST:PORT nor unix:PATH"), (f"unix:/tmp/{'s' * 200}", "has 205 bytes")],
)
async def test_a_path_that_no_socket_can_have_is_refused(
    server: grpc.aio.Server, listen: str, why: str
) -> None:
    with pytest.raises(BindRefused, match=why):
        bind(server, ServerSettings(listen=listen))


async def test_plaintext_beyond_loopback_needs_its_switch(server: grpc.aio.Server) -> None:
    with pytest.raises(BindRefused, match="--insecure-bind"):
        bind(server, ServerSettings(listen="0.0.0.0:0"))
    assert bind(server, ServerSettings(listen="0.0.0.0:0", insecure_bind=True)) != "0.0.0.0:0"


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1:http", "127.0.0.1:99999", "256.0.0.1:1"])
async def test_an_address_that_cannot_be_served_names_the_remedy(
    server: grpc.aio.Server, listen: str
) -> None:
    """Every way to get it wrong ends in the one error that `main` tells on one line."""
    with pytest.raises(BindRefused, match="--listen") as caught:
        bind(server, ServerSettings(listen=listen, insecure_bind=True))
    assert listen in caught.value.message


async def test_reflection_takes_no_address_that_is_none(server: grpc.aio.Server) -> None:
    """It is added before the address is bound, and asks whether that is local."""
    with pytest.raises(BindRefused, match="--listen"):
        add_reflection(server, ServerSettings(listen="nonsense"), [])
