"""What an engine would do with its settings, told without starting one: no torch, no weight read.

The engine's own checks and arithmetic, in its own order. What is told here is what it will tell
when it is ready, as far as the free memory stays what it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from engine_svc.core.errors import StartupError
from engine_svc.core.machine import available_memory_bytes
from engine_svc.core.messages import CoreConfig, EngineInfo
from engine_svc.core.models.description import ModelDescription, read_description
from engine_svc.core.models.number_formats import is_cpu
from engine_svc.core.models.safetensors_files import pickle_files
from engine_svc.core.runner.base import RunnerInfo
from engine_svc.core.runner.forecast import forecast
from engine_svc.core.scheduler.registry import scheduler_factory
from engine_svc.core.settle import settle
from engine_svc.core.threads import available_cores, default_num_threads
from engine_svc.settings import EngineSettings
from steeple_rpc.settings import load_settings


class Stage(Enum):
    """What is checked, in the order in which it is."""

    CONFIGURATION = "configuration"
    WEIGHTS = "weights"
    ROOM = "room"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSurvey:
    """What was found, up to the first fault."""

    num_cores: float
    """Cores that this process may use; control groups count."""
    num_threads: int
    """Threads that the engine would compute with."""
    free_bytes: int
    """Memory that this process may still use; likewise."""
    device: str
    architecture: str = ""
    model_max_len: int = 0
    vocab_size: int = 0
    runner: RunnerInfo | None = None
    info: EngineInfo | None = None
    was_shrunk: bool = False
    """No context was asked for, and memory allows less than the model knows."""
    pickles: tuple[str, ...] = ()
    """Weight files that are never opened."""
    failed_at: Stage | None = None
    fault: str = ""
    """What the engine would end with, its remedy in it."""

    @property
    def max_concurrency(self) -> float:
        """Full-length requests that fit at once; 0 without `info`."""
        if self.info is None:
            return 0.0
        kv_tokens = self.info.num_blocks * self.info.block_size
        return min(kv_tokens / self.info.max_model_len, float(self.info.max_num_seqs))


def survey(arguments: Sequence[str]) -> EngineSurvey:
    """Look at what an engine with this command line would serve.

    Raises:
        SystemExit: the settings are wrong; told on stderr as the engine does.
    """
    settings = load_settings(EngineSettings, list(arguments))
    num_cores = available_cores()
    num_threads = settings.num_threads or default_num_threads(num_cores)
    begun = EngineSurvey(
        num_cores=num_cores,
        num_threads=num_threads,
        free_bytes=available_memory_bytes(),
        device=settings.device,
    )
    return _surveyed(begun, settings.core_config(num_threads))


def _surveyed(found: EngineSurvey, config: CoreConfig) -> EngineSurvey:
    stage = Stage.CONFIGURATION
    try:
        scheduler_factory(config.scheduler)
        description = read_description(Path(config.model_dir))
        found = _described(found, description)
        stage = Stage.WEIGHTS
        runner = forecast(config, description, available_bytes=found.free_bytes)
        found = replace(found, runner=runner)
        stage = Stage.ROOM
        in_memory = runner.weights_bytes if is_cpu(config.device) else 0
        left_bytes = max(0, found.free_bytes - in_memory)
        settled = settle(config, description, runner, available_bytes=left_bytes)
    except StartupError as error:
        return replace(found, failed_at=stage, fault=str(error))
    return replace(found, info=settled.info, was_shrunk=settled.plan.was_shrunk)


def _described(found: EngineSurvey, description: ModelDescription) -> EngineSurvey:
    return replace(
        found,
        architecture=description.architecture,
        model_max_len=description.max_model_len,
        vocab_size=description.vocab_size,
        pickles=tuple(pickle_files(description.directory)),
    )
