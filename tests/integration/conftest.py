"""Deployments that tests of this folder share: starting three processes takes seconds."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from steeple.engine.v1 import engine_service_pb2_grpc
from steeple_client import Client
from steeple_demo import model_dir as demo_model_dir
from steeple_rpc.channel import open_sync_channel
from tests.support.deployment import Deployment

_SEATS = ("--runner=fake", "--max-num-seqs=8", "--max-num-batched-tokens=64")
FAKE = (*_SEATS, "--fake-step-ms=5")
SLOW = (*_SEATS, "--fake-step-ms=25")
"""An answer of 900 tokens takes 22 s: it cannot be over when a test does something to it."""


@pytest.fixture(scope="session")
def demo_dir() -> Path:
    """The committed demo model."""
    return demo_model_dir()


@pytest.fixture(scope="session")
def fake(demo_dir: Path) -> Iterator[Deployment]:
    """A fake engine that echoes for ever, 5 ms a step."""
    with Deployment(demo_dir, engine=FAKE) as deployment:
        yield deployment


@pytest.fixture(scope="session")
def slow(demo_dir: Path) -> Iterator[Deployment]:
    """The same, 25 ms a step: for tests that act while an answer is on its way."""
    with Deployment(demo_dir, engine=SLOW) as deployment:
        yield deployment


@pytest.fixture(scope="session")
def real(demo_dir: Path) -> Iterator[Deployment]:
    """The demo model on FMS."""
    with Deployment(demo_dir, engine=["--num-threads=1"]) as deployment:
        yield deployment


@pytest.fixture
def client(fake: Deployment) -> Iterator[Client]:
    """Connected to the fake deployment."""
    with Client(fake.target) as connected:
        yield connected


@pytest.fixture
def slow_client(slow: Deployment) -> Iterator[Client]:
    """Connected to the slow deployment."""
    with Client(slow.target) as connected:
        yield connected


@pytest.fixture
def channel(fake: Deployment) -> Iterator[grpc.Channel]:
    """A bare channel to the fake deployment's gateway."""
    with open_sync_channel(fake.target) as opened:
        yield opened


@pytest.fixture
def engine_stub(fake: Deployment) -> Iterator[engine_service_pb2_grpc.EngineServiceStub]:
    """Straight to the fake deployment's engine."""
    with open_sync_channel(fake.engine.address) as opened:
        yield engine_service_pb2_grpc.EngineServiceStub(opened)


@pytest.fixture
def slow_stub(slow: Deployment) -> Iterator[engine_service_pb2_grpc.EngineServiceStub]:
    """Straight to the slow deployment's engine."""
    with open_sync_channel(slow.engine.address) as opened:
        yield engine_service_pb2_grpc.EngineServiceStub(opened)
