"""Makes the policies that are compared, as the engine would for a memory of a given size."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine_svc.core.errors import StartupError
from engine_svc.core.kv_cache.block_pool import blocks_for
from engine_svc.core.scheduler.base import Bounds, Scheduler, SchedulerConfig
from engine_svc.core.scheduler.registry import SCHEDULERS
from steeple_cli.planning.errors import PlanRefused

DEFAULT_MAX_MODEL_LEN = 2048
MAX_BLOCKS = 1 << 24
"""More than any device holds; the books of a pool cost memory here as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPolicy:
    """A policy that is ready to run, and what it settled for."""

    name: str
    config: SchedulerConfig
    scheduler: Scheduler


def policy_names(given: Sequence[str]) -> tuple[str, ...]:
    """The policies that were named, one by one or in lists with commas, each once.

    Raises:
        PlanRefused: there is no such policy.
    """
    names = [name.strip() for text in given for name in text.split(",")]
    for name in names:
        if name not in SCHEDULERS:
            known = ", ".join(SCHEDULERS)
            raise PlanRefused(f"--scheduler is one or more of {known}; it is {name!r}")
    return tuple(dict.fromkeys(names))


def make_policy(name: str, wanted: Bounds, *, num_blocks: int | None) -> PlannedPolicy:
    """Settle the bounds and make the scheduler.

    Args:
        name: of a policy in the registry.
        wanted: what was asked for; an unset max_model_len becomes DEFAULT_MAX_MODEL_LEN.
        num_blocks: None = enough for max_num_seqs requests of full length.

    Raises:
        PlanRefused: the policy cannot work like this, or its cache has more than MAX_BLOCKS.
    """
    try:
        config = _config(_settled(name, wanted), num_blocks)
        if config.num_blocks > MAX_BLOCKS:
            raise PlanRefused(_too_many_blocks(name, config))
        return PlannedPolicy(name=name, config=config, scheduler=SCHEDULERS[name](config))
    except StartupError as error:
        raise PlanRefused(f"{name}: {error}") from None


def _settled(name: str, wanted: Bounds) -> Bounds:
    """A policy that leaves the length open gets the default, and may round it."""
    bounds = SCHEDULERS[name].settle(wanted)
    if bounds.max_model_len is not None:
        return bounds
    return SCHEDULERS[name].settle(replace(bounds, max_model_len=DEFAULT_MAX_MODEL_LEN))


def _config(bounds: Bounds, num_blocks: int | None) -> SchedulerConfig:
    assert bounds.max_model_len is not None  # noqa: S101 - settled
    assert bounds.block_size is not None  # noqa: S101 - likewise
    full_len = blocks_for(bounds.max_model_len, bounds.block_size)
    return SchedulerConfig(
        num_blocks=num_blocks or bounds.max_num_seqs * full_len,
        block_size=bounds.block_size,
        max_model_len=bounds.max_model_len,
        max_num_seqs=bounds.max_num_seqs,
        max_num_batched_tokens=bounds.max_num_batched_tokens,
        options=bounds.options,
    )


def _too_many_blocks(name: str, config: SchedulerConfig) -> str:
    remedy = (
        "choose smaller --warmup-shapes"
        if config.options.shapes and name == "static"
        else "lower --max-num-seqs or --max-model-len, or set --num-blocks"
    )
    return (
        f"{name}: {config.max_num_seqs} seats x {config.max_model_len} tokens take"
        f" {config.num_blocks} KV blocks of {config.block_size}; at most {MAX_BLOCKS}: {remedy}"
    )
