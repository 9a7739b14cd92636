"""What a runner will tell once it has loaded, known without loading and without its libraries.

Equal to `ModelRunner.info` after a load, by test for every runner.
"""

from collections.abc import Callable, Mapping

from engine_svc.core.errors import StartupError
from engine_svc.core.messages import CoreConfig
from engine_svc.core.models.checked_model import check_model
from engine_svc.core.models.description import ModelDescription, model_fingerprint
from engine_svc.core.models.family import Task
from engine_svc.core.models.geometry import Geometry
from engine_svc.core.models.number_formats import ITEM_BYTES, is_cpu, resolve_format
from engine_svc.core.models.weights_room import check_room
from engine_svc.core.outputs import PaddedPaged, Ragged, StaticShape
from engine_svc.core.runner.base import RunnerInfo


def forecast(
    config: CoreConfig, description: ModelDescription, *, available_bytes: int
) -> RunnerInfo:
    """What the runner that is asked for will tell.

    Args:
        config: what is asked for.
        description: the model.
        available_bytes: memory of this machine that is free now.

    Raises:
        StartupError: it could not load the model, or there is no such runner.
    """
    if config.runner not in FORECASTS:
        raise StartupError(f"--runner {config.runner}: choose one of {', '.join(FORECASTS)}")
    return FORECASTS[config.runner](config, description, available_bytes)


def fms_info(
    description: ModelDescription,
    geometry: Geometry,
    *,
    dtype: str,
    device: str,
    weights_bytes: int,
    headers: bytes,
) -> RunnerInfo:
    """What the `fms` runner tells of a model."""
    return RunnerInfo(
        name="fms",
        model_fingerprint=model_fingerprint(description, dtype=dtype, headers=headers),
        device=device,
        dtype=dtype,
        weights_bytes=weights_bytes,
        kv_bytes_per_token=geometry.kv_bytes_per_token(item_bytes=ITEM_BYTES[dtype]),
        layouts=frozenset({Ragged, PaddedPaged, StaticShape}),
    )


def _fms(config: CoreConfig, description: ModelDescription, available_bytes: int) -> RunnerInfo:
    checked = check_model(description, Task.DECODER)
    dtype = resolve_format(config.dtype, device=config.device, weights=checked.weights)
    if is_cpu(config.device):
        check_room(checked.weights, dtype=dtype, available_bytes=available_bytes)
    return fms_info(
        description,
        checked.geometry,
        dtype=dtype,
        device=config.device,
        weights_bytes=checked.num_weights * ITEM_BYTES[dtype],
        headers=checked.weights.headers,
    )


def _fake(config: CoreConfig, description: ModelDescription, _: int) -> RunnerInfo:
    from engine_svc.core.runner.fake import FakeRunner  # noqa: PLC0415 - as in registry.py

    return FakeRunner(description, config.fake).info()


FORECASTS: Mapping[str, Callable[[CoreConfig, ModelDescription, int], RunnerInfo]] = {
    "fake": _fake,
    "fms": _fms,
}
"""By the names of `runner.registry`."""
