"""How soon a channel of ours finds a service that has moved to another address."""

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from steeple_rpc.channel import open_channel
from steeple_rpc.lifecycle import READINESS
from tests.support.name_server import NameServer
from tests.support.servers import serving

SERVING = health_pb2.HealthCheckResponse.SERVING
FOUND_S = 20.0
"""grpcio's own pause between two questions for a name is 30 s."""


@pytest.mark.timeout(60)
async def test_a_service_behind_another_address_is_found_in_seconds() -> None:
    """A container that is replaced: the same name and port, another address, nobody at the old."""
    request = health_pb2.HealthCheckRequest(service=READINESS)
    with NameServer("127.0.0.2") as names:
        async with serving(listen="127.0.0.2:0", insecure_bind=True) as old:
            port = int(old.address.rpartition(":")[2])
            channel = open_channel(names.target(port))
            stub = health_pb2_grpc.HealthStub(channel)
            await stub.Check(request, timeout=FOUND_S)
        # A call that comes before the channel has heard of the end is lost with the connection.
        await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
        names.address = "127.0.0.3"
        async with serving(listen=f"127.0.0.3:{port}", insecure_bind=True), channel:
            reply = await stub.Check(request, timeout=FOUND_S, wait_for_ready=True)
            assert reply.status == SERVING
