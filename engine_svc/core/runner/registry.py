"""The runners by name. A new runner is its file and one entry here.

Imported late: a runner's device library must not load in a process that does not use it.
"""

from collections.abc import Callable, Mapping

from engine_svc.core.messages import CoreConfig
from engine_svc.core.models.description import ModelDescription
from engine_svc.core.runner.base import ModelRunner


def _fake(config: CoreConfig, description: ModelDescription) -> ModelRunner:
    from engine_svc.core.runner.fake import FakeRunner  # noqa: PLC0415 - see above

    return FakeRunner(description, config.fake)


def _fms(config: CoreConfig, description: ModelDescription) -> ModelRunner:
    from engine_svc.core.runner.fms import FmsOptions, FmsRunner  # noqa: PLC0415 - see above

    return FmsRunner(
        FmsOptions(
            description=description,
            dtype=config.dtype,
            device=config.device,
            num_threads=config.num_threads,
        )
    )


RUNNERS: Mapping[str, Callable[[CoreConfig, ModelDescription], ModelRunner]] = {
    "fake": _fake,
    "fms": _fms,
}
