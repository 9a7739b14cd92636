"""Drives a scheduler by hand: a few steps, seen as a policy's user would tell them."""

from itertools import count

from engine_svc.core.batching import BatchingOptions
from engine_svc.core.outputs import PaddedPaged, SchedulerOutput
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core.scheduler.base import Scheduler, SchedulerConfig
from tests.support.requests import answered, request_spec

_fresh = count(1_000)


def spyre_config(
    *,
    max_num_seqs: int = 4,
    max_model_len: int = 512,
    num_blocks: int | None = None,
    chunk_len: int = 128,
    options: BatchingOptions | None = None,
) -> SchedulerConfig:
    """Blocks of 64, as many as all seats can need."""
    return SchedulerConfig(
        num_blocks=max_num_seqs * max_model_len // 64 if num_blocks is None else num_blocks,
        block_size=64,
        max_model_len=max_model_len,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=chunk_len,
        options=BatchingOptions() if options is None else options,
    )


def distinct(
    name: str, prompt_len: int, max_tokens: int, *, prior: tuple[int, ...] = ()
) -> RequestSpec:
    """A request whose prompt shares no token with any other."""
    ids = tuple(next(_fresh) for _ in range(prompt_len))
    return request_spec(name, ids, max_tokens, prior=prior)


def step_of(scheduler: Scheduler, now: float = 0.0) -> SchedulerOutput:
    """The next step, which must be there, answered with token 1 and checked."""
    step = scheduler.schedule(now)
    assert step is not None
    scheduler.update_from_output(step, answered(step), now)
    scheduler.check_integrity()
    return step


def steps_of(scheduler: Scheduler, number: int) -> list[list[str]]:
    """Who was in each of the next steps, in the order of rows; a prompt as "name!"."""
    return [told(step_of(scheduler)) for _ in range(number)]


def told(step: SchedulerOutput) -> list[str]:
    """Who is in a step; prompts as "name!"."""
    return [f"{s.request_id}{'!' if s.num_tokens > 1 else ''}" for s in step.sequences]


def drained(scheduler: Scheduler, max_steps: int = 5_000) -> list[SchedulerOutput]:
    """All steps until nothing is left to do."""
    steps: list[SchedulerOutput] = []
    for _ in range(max_steps):
        if not scheduler.has_requests:
            return steps
        step = scheduler.schedule(0.0)
        if step is not None:
            scheduler.update_from_output(step, answered(step), 0.0)
            steps.append(step)
        scheduler.check_integrity()
    raise AssertionError(f"not drained after {max_steps} steps")


def padded(step: SchedulerOutput) -> PaddedPaged:
    """The step's layout."""
    assert isinstance(step.layout, PaddedPaged)
    return step.layout
