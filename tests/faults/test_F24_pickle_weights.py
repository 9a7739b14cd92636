"""F-24: weights that are code. They are refused or ignored by name, never opened, never run."""

import json
import pickle
from pathlib import Path

import pytest
import structlog
import torch

from engine_svc.core.models.safetensors_files import PICKLE_SUFFIXES, list_weight_files
from tests.support.audited_load import audited
from tests.support.models import LLAMA, save_model
from tests.support.refused_start import refused_start

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


class Canary:
    """Leaves a trace if it is ever unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.trace,))


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "executed"


@pytest.fixture
def canary(trace: Path) -> bytes:
    return pickle.dumps(Canary(trace))


@pytest.fixture(autouse=True)
def unpickling_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def trap(*_: object, **__: object) -> None:
        pytest.fail("a pickle was opened")

    monkeypatch.setattr(torch, "load", trap)


def without_weights(directory: Path) -> Path:
    save_model(directory, LLAMA)
    (directory / WEIGHTS).unlink()
    return directory


def test_pickles_are_never_opened(tmp_path: Path, trace: Path, canary: bytes) -> None:
    """Alone they are refused by name; beside safetensors the model is served without them."""
    alone = []
    for suffix in sorted(PICKLE_SUFFIXES):
        directory = without_weights(tmp_path / suffix[1:])
        (directory / f"pytorch_model{suffix}").write_bytes(canary)
        alone.append(directory)
    beside = save_model(tmp_path / "beside", LLAMA)
    for suffix in PICKLE_SUFFIXES:
        (beside / f"pytorch_model{suffix}").write_bytes(canary)
    *refusals, served = audited([*alone, beside])
    for directory, audit in zip(alone, refusals, strict=True):
        assert audit.refusal.startswith(f"pytorch_model.{directory.name}: pickle weights run code")
        assert audit.ran == []
    assert (served.refusal, served.ran) == ("", [])
    for audit in (*refusals, served):
        assert not any(name.startswith("pytorch_model") for name in audit.opened)
    assert not trace.exists()


def test_pickles_beside_safetensors_are_told_once(tmp_path: Path) -> None:
    """By name and number: whoever looks for a change of theirs learns which weights count."""
    directory = save_model(tmp_path / "model", LLAMA)
    for idx in range(12):
        (directory / f"pytorch_model-{idx:02}.bin").touch()
    with structlog.testing.capture_logs() as logs:
        list_weight_files(directory)
    names = [f"pytorch_model-{idx:02}.bin" for idx in range(8)]
    warning = {"event": "pickle_weights_ignored", "log_level": "warning"}
    assert logs == [warning | {"files": names, "count": 12}]


def test_pickles_under_another_name_are_never_run(
    tmp_path: Path, trace: Path, canary: bytes
) -> None:
    """Renamed, in torch's own archive, or named by an index."""
    renamed = without_weights(tmp_path / "renamed")
    (renamed / WEIGHTS).write_bytes(canary)
    archive = without_weights(tmp_path / "archive")
    torch.save(Canary(trace), archive / WEIGHTS)
    indexed = without_weights(tmp_path / "indexed")
    (indexed / "pytorch_model.bin").write_bytes(canary)
    (indexed / INDEX).write_text(json.dumps({"weight_map": {"a": "pytorch_model.bin"}}))
    audits = audited([renamed, archive, indexed])
    for audit, file in zip(audits, (WEIGHTS, WEIGHTS, INDEX), strict=True):
        assert audit.refusal.startswith(file)
    assert [audit.ran for audit in audits] == [[], [], []]
    assert not trace.exists()


def test_the_engine_refuses_to_start_on_a_pickle(
    tmp_path: Path, trace: Path, canary: bytes
) -> None:
    """One line that names the file and the remedy, status 2; and the canary would have sung."""
    directory = without_weights(tmp_path / "model")
    (directory / "pytorch_model.bin").write_bytes(canary)
    line = refused_start(directory)
    assert line.startswith("error: pytorch_model.bin: pickle weights run code")
    assert "convert the model to safetensors" in line
    assert not trace.exists()
    pickle.loads(canary)  # noqa: S301 - the trap works
    assert trace.exists()
