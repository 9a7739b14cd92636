"""One build of the distributions for all tests of this folder, and its environments."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support import wheels
from tests.support.wheels import Distributions, Environment, Environments


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """The wheel and the source distribution of this checkout."""
    return wheels.build(tmp_path_factory.mktemp("distributions"))


@pytest.fixture(scope="session")
def environments(
    distributions: Distributions, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Environments]:
    """Environments that hold the wheel, one for each extra."""
    folder: Path = tmp_path_factory.mktemp("environments")

    @cache
    def made(extra: str | None) -> Environment:
        return wheels.environment(folder / (extra or "none"), distributions.wheel, extra)

    yield made
    wheels.remove(folder)
