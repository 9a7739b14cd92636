"""What the faults are injected into."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from steeple_demo import model_dir
from tests.support.cluster import Cluster
from tests.support.guarded import GuardedGateway
from tests.support.pace import Pace
from tests.support.refusals import Ask, engine_of, gateway_of


@pytest.fixture(scope="session")
def demo_dir() -> Path:
    """The committed demo model."""
    return model_dir()


@pytest.fixture
def sockets() -> Iterator[Path]:
    """A directory with a path short enough for Unix sockets."""
    with TemporaryDirectory(prefix="steeple-") as directory:
        yield Path(directory)


@pytest.fixture
def pace(tmp_path: Path) -> Pace:
    """Of the fake engines that are given it; fast at first."""
    return Pace(tmp_path)


@pytest.fixture(scope="session")
def calm() -> Iterator[Cluster]:
    """One engine, 5 ms a step, 8 seats: for faults that end no process."""
    with (
        TemporaryDirectory(prefix="steeple-") as directory,
        Cluster(model_dir(), Path(directory)) as cluster,
    ):
        yield cluster


@pytest.fixture(scope="module")
def gateway(calm: Cluster) -> Iterator[Ask]:
    """Asks the gateway of the calm cluster for what it must refuse."""
    with gateway_of(calm) as ask:
        yield ask


@pytest.fixture(scope="module")
def engine(calm: Cluster) -> Iterator[Ask]:
    """Asks its engine, behind the gateway's back."""
    with engine_of(calm) as ask:
        yield ask


@pytest.fixture(scope="session")
def guarded(calm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedGateway]:
    """A second gateway in front of the calm cluster, with TLS and tokens."""
    with GuardedGateway(calm.upstreams, tmp_path_factory.mktemp("guarded")) as gateway:
        yield gateway
