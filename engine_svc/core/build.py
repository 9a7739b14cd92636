"""Puts a core together from its configuration."""

import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engine_svc.core.machine import available_memory_bytes
from engine_svc.core.messages import CoreConfig, EngineInfo
from engine_svc.core.models.description import read_description
from engine_svc.core.runner.base import ModelRunner, Progress
from engine_svc.core.runner.registry import RUNNERS
from engine_svc.core.scheduler.base import Scheduler
from engine_svc.core.scheduler.registry import scheduler_factory
from engine_svc.core.settle import Settled, settle
from steeple_rpc.telemetry import logger


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltCore:
    """A loaded and warmed-up core that is ready to loop."""

    scheduler: Scheduler
    runner: ModelRunner
    longest_step_s: float
    """How long the longest step takes here, as far as the warm-up shows."""
    info: EngineInfo


def build_core(config: CoreConfig, progress: Progress) -> BuiltCore:
    """Load the model, size the cache, make the policy, warm up.

    Raises:
        StartupError: the model cannot be served within the bounds given.
    """
    begin = time.monotonic()
    # A wrong name is refused before gigabytes are read.
    scheduler_factory(config.scheduler)
    description = read_description(Path(config.model_dir))
    runner = RUNNERS[config.runner](config, description)
    runner.load(progress)
    # Before the warm-up, which takes long: what cannot be served is refused now.
    settled = settle(config, description, runner.info(), available_bytes=available_memory_bytes())
    _tell_if_shrunk(settled)
    warm_up_s = _warm_up(runner, settled, progress)
    return BuiltCore(
        scheduler=settled.scheduler,
        runner=runner,
        longest_step_s=warm_up_s,
        info=msgspec.structs.replace(settled.info, load_s=time.monotonic() - begin),
    )


def _warm_up(runner: ModelRunner, settled: Settled, progress: Progress) -> float:
    """How long it took, in seconds."""
    plan = settled.plan
    progress("warming up", 0, 1)
    start = time.monotonic()
    runner.warm_up(
        num_blocks=plan.num_blocks,
        block_size=plan.block_size,
        max_num_tokens=min(settled.bounds.max_num_batched_tokens, plan.max_model_len),
    )
    warm_up_s = time.monotonic() - start
    progress("warming up", 1, 1)
    return warm_up_s


def _tell_if_shrunk(settled: Settled) -> None:
    plan = settled.plan
    if plan.was_shrunk:
        logger().warning(
            "max_model_len_shrunk",
            max_model_len=plan.max_model_len,
            model_max_len=settled.bounds.model_max_len,
            kv_cache_bytes=plan.kv_cache_bytes,
        )
