"""Requests and schedulers for tests of the engine."""

from engine_svc.core.batching import BatchingOptions
from engine_svc.core.outputs import RunnerOutput, SchedulerOutput
from engine_svc.core.params import RequestId, SamplingParams, StoppingParams
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core.scheduler.base import SchedulerConfig

GREEDY = SamplingParams(temperature=0.0)


def scheduler_config(
    *,
    num_blocks: int = 64,
    block_size: int = 4,
    max_model_len: int = 64,
    max_num_seqs: int = 8,
    max_num_batched_tokens: int = 16,
    prefix_caching: bool = True,
) -> SchedulerConfig:
    """Small bounds, so that tests reach them."""
    return SchedulerConfig(
        num_blocks=num_blocks,
        block_size=block_size,
        max_model_len=max_model_len,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_batched_tokens,
        options=BatchingOptions(prefix_caching=prefix_caching),
    )


def request_spec(
    name: str,
    prompt: int | tuple[int, ...] = 3,
    max_tokens: int = 4,
    *,
    min_tokens: int = 0,
    eos: tuple[int, ...] = (),
    stop: tuple[int, ...] = (),
    prior: tuple[int, ...] = (),
    time_limit_s: float | None = None,
    priority: int = 0,
    salt: str = "",
) -> RequestSpec:
    """A greedy request; an int as prompt is its length."""
    ids = tuple(range(10, 10 + prompt)) if isinstance(prompt, int) else prompt
    return RequestSpec(
        request_id=RequestId(name),
        prompt_token_ids=ids,
        prior_output_token_ids=prior,
        sampling=GREEDY,
        stopping=StoppingParams(
            max_tokens=max_tokens,
            min_tokens=min_tokens,
            eos_token_ids=eos,
            stop_token_ids=stop,
            time_limit_s=time_limit_s,
        ),
        priority=priority,
        cache_salt=salt,
    )


def answered(step: SchedulerOutput, token: int = 1) -> RunnerOutput:
    """A runner's answer that gives every sampled sequence the same token."""
    sampled = [s.request_id for s in step.sequences if s.sample is not None]
    return RunnerOutput(token_ids=dict.fromkeys(sampled, (token,)))
