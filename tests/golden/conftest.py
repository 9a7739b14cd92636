"""One core and one copy of each tiny model for all golden tests."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read once, when torch is loaded

import pytest
import torch

from engine_svc.core.models.description import read_description
from engine_svc.core.runner.fms import FmsOptions, FmsRunner
from tests.support.models import TinyModel, save_model

Directories = Callable[[TinyModel], Path]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def directory_of(tmp_path_factory: pytest.TempPathFactory) -> Directories:
    saved: dict[str, Path] = {}

    def directory(tiny: TinyModel) -> Path:
        if tiny.name not in saved:
            saved[tiny.name] = save_model(tmp_path_factory.mktemp(tiny.name), tiny)
        return saved[tiny.name]

    return directory


@pytest.fixture
def runner_of() -> Callable[[Path], FmsRunner]:
    def runner(directory: Path) -> FmsRunner:
        loaded = FmsRunner(FmsOptions(description=read_description(directory), dtype="float32"))
        loaded.load(lambda *_: None)
        return loaded

    return runner
