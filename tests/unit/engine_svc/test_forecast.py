"""What a runner is said to tell once it has loaded is what it then tells."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from engine_svc.core.build import build_core
from engine_svc.core.errors import StartupError
from engine_svc.core.messages import CoreConfig
from engine_svc.core.models.description import read_description
from engine_svc.core.runner.base import RunnerInfo
from engine_svc.core.runner.forecast import FORECASTS, forecast
from engine_svc.core.runner.registry import RUNNERS
from engine_svc.core.settle import settle
from steeple_demo import model_dir
from tests.support.models import save_case
from tests.support.truth_cases import DECODERS, TruthCase

SERVED = [case for case in DECODERS if case.refused is None]
KV_BYTES = 3 << 20
ENOUGH = 1 << 33
WITHOUT_TORCH = """
import sys
from pathlib import Path
from engine_svc.core.messages import CoreConfig
from engine_svc.core.models.description import read_description
from engine_svc.core.runner.forecast import forecast
from engine_svc.core.settle import settle
config = CoreConfig(model_dir=sys.argv[1], runner="fms")
description = read_description(Path(sys.argv[1]))
told = forecast(config, description, available_bytes=1 << 33)
settled = settle(config, description, told, available_bytes=1 << 33)
print(settled.info.architecture)
print(sorted({"fms", "numpy", "torch", "transformers"} & sys.modules.keys()))
"""


def loaded(config: CoreConfig) -> RunnerInfo:
    runner = RUNNERS[config.runner](config, read_description(Path(config.model_dir)))
    runner.load(lambda *_: None)
    return runner.info()


def test_every_runner_has_a_forecast() -> None:
    assert FORECASTS.keys() == RUNNERS.keys()


@pytest.mark.parametrize("dtype", ["auto", "bfloat16"])
@pytest.mark.parametrize("runner", sorted(FORECASTS))
def test_a_forecast_of_the_demo_model_comes_true(runner: str, dtype: str) -> None:
    config = CoreConfig(model_dir=str(model_dir()), runner=runner, dtype=dtype)
    assert forecast(config, read_description(model_dir()), available_bytes=ENOUGH) == loaded(config)


@pytest.mark.parametrize("case", SERVED, ids=lambda case: case.name)
def test_a_forecast_of_any_family_comes_true(tmp_path: Path, case: TruthCase) -> None:
    """Weights to the byte, tied heads and experts too; the identity; the KV bytes per token."""
    save_case(tmp_path, case)
    config = CoreConfig(model_dir=str(tmp_path), runner="fms")
    assert forecast(config, read_description(tmp_path), available_bytes=ENOUGH) == loaded(config)


@pytest.mark.parametrize("scheduler", ["continuous", "spyre_continuous", "spyre_chunked"])
def test_what_is_settled_by_a_forecast_is_what_a_core_becomes(scheduler: str) -> None:
    """Every number of Ready, where the memory is given."""
    config = CoreConfig(
        model_dir=str(model_dir()),
        runner="fms",
        scheduler=scheduler,
        kv_cache_bytes=KV_BYTES,
        max_num_batched_tokens=64,
    )
    description = read_description(model_dir())
    told = forecast(config, description, available_bytes=ENOUGH)
    settled = settle(config, description, told, available_bytes=ENOUGH)
    built = build_core(config, lambda *_: None)
    assert settled.info == msgspec.structs.replace(built.info, load_s=0.0)


def test_nothing_of_it_needs_torch() -> None:
    """A machine that only looks at a model need not be one that serves it."""
    out = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(model_dir())],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert out.splitlines() == ["GraniteForCausalLM", "[]"]


def test_an_unknown_runner_is_refused_by_name() -> None:
    config = CoreConfig(model_dir=str(model_dir()), runner="tpu")
    with pytest.raises(StartupError, match="--runner tpu: choose one of fake, fms"):
        forecast(config, read_description(model_dir()), available_bytes=ENOUGH)


def test_weights_that_do_not_fit_are_refused_as_a_load_would() -> None:
    config = CoreConfig(model_dir=str(model_dir()), runner="fms")
    with pytest.raises(StartupError, match=r"the weights need .* as float32, and 1.0 KiB"):
        forecast(config, read_description(model_dir()), available_bytes=1024)
