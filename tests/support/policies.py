"""A scheduler of any registered policy, small enough to be filled."""

from engine_svc.core.batching import BatchingOptions, WarmupShape
from engine_svc.core.scheduler.base import Bounds, Scheduler, SchedulerConfig
from engine_svc.core.scheduler.registry import SCHEDULERS

_WANTED = Bounds(
    model_max_len=256,
    max_model_len=None,
    max_num_seqs=4,
    max_num_batched_tokens=64,
    block_size=None,
    options=BatchingOptions(
        shapes=(WarmupShape(prompt_len=128, new_tokens=128, batch_size=4),),
    ),
)


def four_seats(policy: str) -> Scheduler:
    """A scheduler with four seats, a context of 256, and blocks for all of it."""
    factory = SCHEDULERS[policy]
    settled = factory.settle(_WANTED)
    assert settled.block_size is not None
    return factory(
        SchedulerConfig(
            num_blocks=4 * 256 // settled.block_size,
            block_size=settled.block_size,
            max_model_len=settled.max_model_len or settled.model_max_len,
            max_num_seqs=settled.max_num_seqs,
            max_num_batched_tokens=settled.max_num_batched_tokens,
            options=settled.options,
        )
    )
