"""What every policy asks of a request, and how it tells its load."""

from engine_svc.core.kv_cache.block_pool import BlockPool
from engine_svc.core.outputs import SchedulerLoad
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core.scheduler.ledger import Ledger


def beyond_context(spec: RequestSpec, max_model_len: int) -> str | None:
    """Why a request can never be computed within the context; None if it can."""
    if spec.max_num_tokens > max_model_len:
        return (
            f"prompt of {spec.num_prompt_tokens} tokens and max_tokens"
            f" {spec.stopping.max_tokens} exceed the context of {max_model_len}"
        )
    if spec.num_new_tokens < 1:
        return "the prior output already has max_tokens tokens"
    return None


def load_of(ledger: Ledger, pool: BlockPool, *, num_running: int) -> SchedulerLoad:
    """How busy a scheduler is."""
    return SchedulerLoad(
        num_running=num_running,
        num_waiting=len(ledger.waiting),
        num_waiting_tokens=ledger.waiting.num_tokens,
        num_free_blocks=pool.num_free,
        num_used_blocks=pool.num_used,
        num_cached_blocks=pool.num_cached,
        num_total_blocks=pool.num_blocks,
        num_preemptions=ledger.num_preemptions,
        num_prompt_tokens=ledger.num_prompt_tokens,
        num_cached_prompt_tokens=ledger.num_cached_prompt_tokens,
    )
