"""Settles what a core will be from what a runner tells: bounds, memory, policy. Reads no weight.

The engine asks with a loaded runner; whoever only looks asks with a forecast of one.
"""

from dataclasses import dataclass

from engine_svc.core.errors import StartupError
from engine_svc.core.memory import MemoryPlan, MemoryRequest, plan_memory
from engine_svc.core.messages import CoreConfig, EngineInfo
from engine_svc.core.models.description import ModelDescription
from engine_svc.core.runner.base import RunnerInfo
from engine_svc.core.scheduler.base import Bounds, Scheduler, SchedulerConfig
from engine_svc.core.scheduler.registry import scheduler_factory
from steeple_rpc.fingerprint import tokenizer_fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """All that is decided before the first step."""

    bounds: Bounds
    plan: MemoryPlan
    scheduler: Scheduler
    info: EngineInfo
    """Without the time that loading takes."""


def settle(
    config: CoreConfig, description: ModelDescription, info: RunnerInfo, *, available_bytes: int
) -> Settled:
    """Decide everything.

    Args:
        config: what is asked for.
        description: the model.
        info: its runner.
        available_bytes: memory that is free once the weights are loaded.

    Raises:
        StartupError: the model cannot be served within the bounds given.
    """
    factory = scheduler_factory(config.scheduler)
    bounds = factory.settle(_wanted(config, description))
    plan = _plan(config, bounds, info, available_bytes)
    scheduler = factory(_scheduler_config(bounds, plan))
    _check_layouts(config, scheduler, info)
    return Settled(
        bounds=bounds,
        plan=plan,
        scheduler=scheduler,
        info=_engine_info(config, description, info, bounds, plan),
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


def _plan(config: CoreConfig, bounds: Bounds, info: RunnerInfo, available_bytes: int) -> MemoryPlan:
    assert bounds.block_size is not None  # noqa: S101 - settled
    return plan_memory(
        MemoryRequest(
            available_bytes=available_bytes,
            kv_bytes_per_token=info.kv_bytes_per_token,
            block_size=bounds.block_size,
            max_num_seqs=bounds.max_num_seqs,
            model_max_len=bounds.model_max_len,
            max_model_len=bounds.max_model_len,
            kv_cache_bytes=config.kv_cache_bytes,
            kv_cache_share=config.kv_cache_share,
            num_blocks=config.num_blocks,
            is_in_host_memory=info.device == "cpu",
        )
    )


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
