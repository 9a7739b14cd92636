"""The images and the compose file, really run: `make compose-test`."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.compose_project import ComposeProject
from tests.support.container_engine import ContainerEngine, container_engine, mounts_below
from tests.support.waiting import eventually

# The first test waits for all that it needs: packages, a base image, three builds.
FIRST_LIMIT_S = 2400


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test of this folder the time that building takes."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(FIRST_LIMIT_S))


@pytest.fixture(scope="session")
def container_host() -> Iterator[ContainerEngine]:
    """A Docker engine; when it ends, nothing of it is left."""
    if os.environ.get("STEEPLE_COMPOSE") != "1":
        pytest.skip("`make compose-test` runs it: it installs packages and takes minutes")
    with TemporaryDirectory(prefix="steeple-compose-") as directory:
        with container_engine(Path(directory)) as engine:
            yield engine
        assert mounts_below(Path(directory)) == []


@pytest.fixture(scope="session")
def built(container_host: ContainerEngine) -> Iterator[ComposeProject]:
    """The three images."""
    with TemporaryDirectory(prefix="steeple-tree-") as directory:
        project = ComposeProject(container_host, Path(directory))
        project.build()
        yield project


@pytest.fixture(scope="session")
def running(built: ComposeProject) -> Iterator[ComposeProject]:
    """The project, up; when it ends, no container is left."""
    try:
        built.up()
        yield built
    finally:
        built.down()
    assert built.docker("ps", "--all", "--quiet", "--filter", "name=steepletest") == ""


@pytest.fixture
def project(running: ComposeProject) -> ComposeProject:
    """The project with all services healthy, whatever the test before has done to it."""
    running.up()
    for service in ("tokenizer", "engine", "gateway"):
        eventually(lambda: running.is_healthy(service), lambda: running.compose("ps"))  # noqa: B023 - called at once
    return running
