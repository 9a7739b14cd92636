"""F-32: one request that needs exactly the whole pool, and one that needs a block more."""

from dataclasses import replace

import pytest

from engine_svc.core.errors import StartupError
from engine_svc.core.memory import MemoryRequest, plan_memory
from engine_svc.core.scheduler.base import Fits, Never
from engine_svc.core.scheduler.continuous import ContinuousScheduler
from tests.support.driving import drained
from tests.support.requests import request_spec, scheduler_config


@pytest.mark.parametrize("prompt_len", [1, 16, 31, 32])
def test_exactly_the_whole_pool_is_served(prompt_len: int) -> None:
    """Also when others run and leave their blocks in the cache, or must leave."""
    scheduler = ContinuousScheduler(scheduler_config(num_blocks=8, max_model_len=33))
    spec = request_spec("whole", tuple(range(prompt_len)), 33 - prompt_len)
    assert scheduler.capacity(spec) == Fits()
    scheduler.add_request(request_spec("before", tuple(range(100, 120)), 4, priority=1), 0.0)
    scheduler.add_request(spec, 0.0)
    scheduler.add_request(request_spec("after", tuple(range(200, 220)), 4), 0.0)
    ended = [i for step in drained(scheduler) for i in step.finished_request_ids]
    assert "whole" in ended
    assert scheduler.load().num_used_blocks == 0


def test_one_block_more_than_the_pool_is_refused_with_the_limit() -> None:
    """At once, before it waits; the caller is told both numbers."""
    scheduler = ContinuousScheduler(scheduler_config(num_blocks=8, max_model_len=64))
    refused = scheduler.capacity(request_spec("more", 17, 17))
    assert refused == Never("needs 9 KV blocks; there are 8")


def test_an_engine_whose_pool_cannot_hold_one_full_request_does_not_start() -> None:
    """One block too few for the context that was asked for; with that block it starts."""
    enough = MemoryRequest(
        available_bytes=1 << 30,
        kv_bytes_per_token=100,
        block_size=16,
        max_num_seqs=4,
        model_max_len=256,
        max_model_len=128,
        kv_cache_bytes=8 * 1600,
        kv_cache_share=None,
    )
    plan = plan_memory(enough)
    assert (plan.num_blocks, plan.max_model_len) == (8, 128)
    with pytest.raises(StartupError, match="raise --kv-cache-bytes"):
        plan_memory(replace(enough, kv_cache_bytes=8 * 1600 - 1))
