"""Puts a core together from its configuration."""

import time
from dataclasses import dataclass
from pathlib import Path

from engine_svc.core.errors import StartupError
from engine_svc.core.machine import available_memory_bytes
from engine_svc.core.memory import MemoryPlan, MemoryRequest, plan_memory
from engine_svc.core.messages import CoreConfig, EngineInfo
from engine_svc.core.models.description import ModelDescription, read_description
from engine_svc.core.runner.base import ModelRunner, Progress, RunnerInfo
from engine_svc.core.runner.registry import RUNNERS
from engine_svc.core.scheduler.base import Bounds, Scheduler, SchedulerConfig
from engine_svc.core.scheduler.registry import scheduler_factory
from steeple_rpc.fingerprint import tokenizer_fingerprint
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
    factory = scheduler_factory(config.scheduler)
    description = read_description(Path(config.model_dir))
    runner = RUNNERS[config.runner](config, description)
    runner.load(progress)
    bounds = factory.settle(_wanted(config, description))
    plan = _plan(config, bounds, runner.info())
    # Before the warm-up, which takes long: what cannot be served is refused now.
    scheduler = factory(_scheduler_config(bounds, plan))
    _check_layouts(config, scheduler, runner.info())
    progress("warming up", 0, 1)
    start = time.monotonic()
    runner.warm_up(
        num_blocks=plan.num_blocks,
        block_size=plan.block_size,
        max_num_tokens=min(bounds.max_num_batched_tokens, plan.max_model_len),
    )
    progress("warming up", 1, 1)
    return BuiltCore(
        scheduler=scheduler,
        runner=runner,
        longest_step_s=time.monotonic() - start,
        info=_engine_info(config, description, runner.info(), bounds, plan),
    )


def _wanted(config: CoreConfig, description: ModelDescription) -> Bounds:
    return Bounds(
        model_max_len=description.max_model_len,
        max_model_len=config.max_model_len,
        max_num_seqs=config.max_num_seqs,
        max_num_batched_tokens=config.max_num_batched_tokens,
        block_size=config.block_size,
        options=config.batching,
    )


def _plan(config: CoreConfig, bounds: Bounds, info: RunnerInfo) -> MemoryPlan:
    assert bounds.block_size is not None  # noqa: S101 - settled
    plan = plan_memory(
        MemoryRequest(
            available_bytes=available_memory_bytes(),
            kv_bytes_per_token=info.kv_bytes_per_token,
            block_size=bounds.block_size,
            max_num_seqs=bounds.max_num_seqs,
            model_max_len=bounds.model_max_len,
            max_model_len=bounds.max_model_len,
            kv_cache_bytes=config.kv_cache_bytes,
            kv_cache_share=config.kv_cache_share,
        )
    )
    if plan.was_shrunk:
        logger().warning(
            "max_model_len_shrunk",
            max_model_len=plan.max_model_len,
            model_max_len=bounds.model_max_len,
            kv_cache_bytes=plan.kv_cache_bytes,
        )
    return plan


def _scheduler_config(bounds: Bounds, plan: MemoryPlan) -> SchedulerConfig:
    return SchedulerConfig(
        num_blocks=plan.num_blocks,
        block_size=plan.block_size,
        max_model_len=plan.max_model_len,
        max_num_seqs=bounds.max_num_seqs,
        max_num_batched_tokens=bounds.max_num_batched_tokens,
        options=bounds.options,
    )


def _check_layouts(config: CoreConfig, scheduler: Scheduler, info: RunnerInfo) -> None:
    if not scheduler.layouts <= info.layouts:
        raise StartupError(
            f"the runner {config.runner} cannot run the steps of the policy {config.scheduler}:"
            " choose another --runner or --scheduler"
        )


def _engine_info(
    config: CoreConfig,
    description: ModelDescription,
    info: RunnerInfo,
    bounds: Bounds,
    plan: MemoryPlan,
) -> EngineInfo:
    return EngineInfo(
        architecture=description.architecture,
        model_fingerprint=info.model_fingerprint,
        tokenizer_fingerprint=tokenizer_fingerprint(description.directory),
        vocab_size=description.vocab_size,
        max_model_len=plan.max_model_len,
        dtype=info.dtype,
        device=info.device,
        runner=info.name,
        scheduler=config.scheduler,
        max_num_seqs=bounds.max_num_seqs,
        max_num_batched_tokens=bounds.max_num_batched_tokens,
        batching=bounds.options,
        default_sampling=description.default_sampling,
        eos_token_ids=description.eos_token_ids,
        block_size=plan.block_size,
        num_blocks=plan.num_blocks,
        weights_bytes=info.weights_bytes,
        kv_cache_bytes=plan.kv_cache_bytes,
    )
