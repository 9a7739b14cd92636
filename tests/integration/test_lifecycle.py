"""Starting in any order, draining under load, dying: what each process does and says."""

import json
import shutil
import signal
import socket
import threading
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from steeple_client import Client, Event, TextDelta, Usage
from steeple_rpc.channel import open_sync_channel
from steeple_rpc.errors import ServiceError, Unavailable
from tests.integration.conftest import FAKE, SLOW
from tests.support.deployment import Deployment, Service, wait_for_event
from tests.support.waiting import LIMIT_S, eventually

IMPATIENT = ("--takeover-timeout-s=1",)
"""Nobody takes a stream over here: there is one engine, and it does not come back in time."""
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def health_of(channel: grpc.Channel) -> int:
    """What the gateway's health says of readiness."""
    stub = health_pb2_grpc.HealthStub(channel)
    status: int = stub.Check(health_pb2.HealthCheckRequest(), timeout=10).status
    return status


def test_a_gateway_started_first_waits_for_the_others(demo_dir: Path, tmp_path: Path) -> None:
    """NOT_SERVING and typed refusals until both upstreams serve; then it serves."""
    tokenizer_at, engine_at = f"unix:{tmp_path}/t", f"unix:{tmp_path}/e"
    gateway = Service("gateway", [f"--tokenizer={tokenizer_at}", f"--engine={engine_at}"])
    services = [gateway]
    try:
        with open_sync_channel(gateway.address) as channel, Client(gateway.address) as client:
            assert health_of(channel) == NOT_SERVING
            with pytest.raises(Unavailable):
                client.generate("hello", max_tokens=2)
            arguments = [f"--model={demo_dir}", "--served-model-name=demo", *FAKE]
            services.append(Service("engine_svc", arguments, listen=engine_at))
            wait_for_event(gateway, "upstream")
            assert health_of(channel) == NOT_SERVING
            arguments = [f"--model=demo={demo_dir}"]
            services.append(Service("tokenizer_svc", arguments, listen=tokenizer_at))
            client.wait_until_ready(60)
            assert health_of(channel) == SERVING
            assert client.generate("hello", max_tokens=4).text
    finally:
        for service in services:
            service.stop()


def test_services_that_disagree_about_the_tokenizer_are_not_served(
    demo_dir: Path, tmp_path: Path
) -> None:
    """UPSTREAM_MISMATCH, and NOT_SERVING."""
    other = tmp_path / "other"
    shutil.copytree(demo_dir, other)
    config = json.loads((other / "tokenizer_config.json").read_text())
    (other / "tokenizer_config.json").write_text(json.dumps({**config, "changed": True}))
    tokenizer = Service("tokenizer_svc", [f"--model=demo={other}"])
    engine = Service("engine_svc", [f"--model={demo_dir}", "--served-model-name=demo", *FAKE])
    gateway = Service("gateway", [f"--tokenizer={tokenizer.address}", f"--engine={engine.address}"])
    try:
        wait_for_event(gateway, "upstream_mismatch")
        with Client(gateway.address) as client, open_sync_channel(gateway.address) as channel:
            with pytest.raises(Unavailable) as refusal:
                client.generate("hello", max_tokens=2)
            assert refusal.value.reason == "UPSTREAM_MISMATCH"
            assert health_of(channel) == NOT_SERVING
    finally:
        for service in (gateway, tokenizer, engine):
            service.stop()


class Reading:
    """Reads a stream on a thread; tells when it began and how it ended."""

    def __init__(self, client: Client, max_tokens: int) -> None:
        self.events: list[Event] = []
        self.error: ServiceError | None = None
        self.began = threading.Event()
        self._client = client
        self._max_tokens = max_tokens
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        assert self.began.wait(30)

    def join(self) -> None:
        """Wait for the stream's end."""
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _read(self) -> None:
        try:
            for event in self._client.generate_stream("hello", max_tokens=self._max_tokens):
                self.events.append(event)
                if isinstance(event, TextDelta):
                    self.began.set()
        except ServiceError as error:
            self.error = error
        finally:
            self.began.set()


def stop_serving(service: Service) -> None:
    """Tell it to stop; return once nobody can connect: a watch of its health ends first."""
    with open_sync_channel(service.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        states = stub.Watch(health_pb2.HealthCheckRequest(), timeout=60)
        assert next(states).status == SERVING
        service.signal(signal.SIGTERM)
        assert [state.status for state in states] == [NOT_SERVING]
    eventually(lambda: not takes_connections(service.address), service.told)


def takes_connections(address: str) -> bool:
    """Whether somebody listens at HOST:PORT."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), LIMIT_S).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("which", ["gateway", "tokenizer", "engine"])
def test_a_service_that_is_told_to_stop_finishes_its_streams(demo_dir: Path, which: str) -> None:
    """SIGTERM while streaming: the stream ends whole, new requests are refused, status 0."""
    with Deployment(demo_dir, engine=FAKE) as deployment, Client(deployment.target) as client:
        reading = Reading(client, max_tokens=200)
        service: Service = getattr(deployment, which)
        stop_serving(service)
        # By its own connection: a call that a server meets on an old one while it closes its port
        # is cancelled by grpc, with no word of ours.
        with Client(deployment.target) as late, pytest.raises(Unavailable):
            late.generate("hello", max_tokens=2)
        reading.join()
        assert reading.error is None
        usage = reading.events[-1]
        assert isinstance(usage, Usage)
        assert usage.num_completion_tokens == 200
        assert service.wait() == 0


def test_a_stream_longer_than_the_grace_ends_typed(demo_dir: Path) -> None:
    """UNAVAILABLE at the end of the grace; the process ends 0 all the same."""
    arguments = [*SLOW, "--grace-s=0.5"]
    with (
        Deployment(demo_dir, engine=arguments, gateway=IMPATIENT) as deployment,
        Client(deployment.target) as client,
    ):
        reading = Reading(client, max_tokens=900)
        deployment.engine.signal(signal.SIGTERM)
        reading.join()
        assert isinstance(reading.error, Unavailable)
        assert deployment.engine.wait() == 0


def test_a_lost_engine_is_told_and_a_new_one_is_found(demo_dir: Path, tmp_path: Path) -> None:
    """Kill -9: its streams end ENGINE_LOST; the gateway serves again once it is back."""
    engine_at = f"unix:{tmp_path}/e"
    arguments = [f"--model={demo_dir}", "--served-model-name=demo", *SLOW]
    engine = Service("engine_svc", arguments, listen=engine_at)
    tokenizer = Service("tokenizer_svc", [f"--model=demo={demo_dir}"])
    upstreams = [f"--tokenizer={tokenizer.address}", f"--engine={engine_at}"]
    gateway = Service("gateway", [*upstreams, *IMPATIENT])
    services = [gateway, tokenizer, engine]
    try:
        with Client(gateway.address) as client, open_sync_channel(gateway.address) as channel:
            client.wait_until_ready(60)
            reading = Reading(client, max_tokens=900)
            engine.signal(signal.SIGKILL)
            reading.join()
            assert isinstance(reading.error, Unavailable)
            assert reading.error.reason == "ENGINE_LOST"
            eventually(lambda: health_of(channel) == NOT_SERVING, gateway.told)
            engine.stop()
            services.append(Service("engine_svc", arguments, listen=engine_at))
            client.wait_until_ready(60)
            assert client.generate("hello", max_tokens=4).text
    finally:
        for service in services:
            service.stop()


def test_a_core_that_dies_is_replaced(demo_dir: Path) -> None:
    """Too many failed requests end the core; its front stays and starts another."""
    crash = ["--fake-raise-token-id=50", "--max-faulty-requests=3"]
    arguments = [*FAKE, *crash]
    with Deployment(demo_dir, engine=arguments) as deployment, Client(deployment.target) as client:
        for _ in range(3):
            with pytest.raises(ServiceError):
                client.generate([50], max_tokens=2)
        wait_for_event(deployment.engine, "core_lost")
        eventually(lambda: deployment.engine.names().count("ready") == 2)
        client.wait_until_ready(60)
        assert client.generate("hello", max_tokens=4).text


@pytest.mark.parametrize(
    ("module", "arguments", "told"),
    [
        ("engine_svc", ["--model=/nowhere/at/all"], "no model directory at /nowhere/at/all"),
        ("engine_svc", ["--model=x", "--max-num-seqs=0"], "max-num-seqs"),
        ("tokenizer_svc", ["--model=demo=/nowhere/at/all"], "/nowhere/at/all"),
        ("gateway", ["--listen=0.0.0.0:0"], "--insecure-bind"),
        ("gateway", ["--listen=nonsense"], "choose another with --listen"),
    ],
)
def test_what_cannot_be_served_ends_with_one_clear_line(
    module: str, arguments: list[str], told: str
) -> None:
    """Status 2 and the remedy."""
    service = Service(module, arguments)
    try:
        assert service.wait() == 2
        assert told in str(service.events[-1]["event"])
        assert not any("Traceback" in str(event) for event in service.events)
    finally:
        service.stop()
