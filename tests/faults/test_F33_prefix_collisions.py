"""F-33: prefixes that collide, a block that goes while it is being found, two salts, one prefix.

Nobody ever reads what was computed for other tokens or for another salt. With a digest that is
always the same, everything collides: whatever is found was compared token by token.
"""

import random

import pytest

from engine_svc.core.kv_cache.prefix_cache import PrefixCache
from engine_svc.core.params import BlockId
from engine_svc.core.request import Request
from engine_svc.core.scheduler.continuous import ContinuousScheduler
from tests.support.driving import step_of
from tests.support.fault_counts import count
from tests.support.requests import request_spec, scheduler_config

BLOCK_SIZE = 2
NUM_BLOCKS = 64


def weak(_: bytes) -> bytes:
    """The same for everything."""
    return b"weak"


def prefix_of(request: Request, num_blocks: int) -> tuple[object, ...]:
    """What a block must agree in to be shared."""
    return (request.spec.cache_salt, *request.token_ids[: num_blocks * BLOCK_SIZE])


@pytest.mark.parametrize("seed", range(count(5, 100)))
def test_with_a_digest_that_always_collides_only_equal_prefixes_are_found(seed: int) -> None:
    """Two tokens, two salts, short sequences: nearly everything begins like something else."""
    draw = random.Random(seed)  # noqa: S311 - tokens, not secrets
    cache = PrefixCache(NUM_BLOCKS, BLOCK_SIZE, is_on=True, digest=weak)
    holds: dict[BlockId, tuple[object, ...]] = {}
    num_found = 0
    for idx in range(200):
        tokens = tuple(draw.randrange(2) for _ in range(draw.randint(1, 9)))
        spec = request_spec(f"r{idx}", tokens, salt=draw.choice(("a", "b")))
        request = Request(spec=spec, arrival=0.0)
        for place, block in enumerate(cache.find_all(request), start=1):
            assert holds[block] == prefix_of(request, place)
            num_found += 1
        num_full = len(tokens) // BLOCK_SIZE
        assert cache.pool.reserve(num_full)
        request.block_table = tuple(cache.pool.allocate_reserved(num_full))
        cache.publish(request, first=0, end=num_full)
        holds |= {b: prefix_of(request, n) for n, b in enumerate(request.block_table, start=1)}
        cache.pool.free(request.block_table)
        cache.pool.check_integrity()
    assert num_found > 100


def test_what_is_evicted_between_two_looks_is_not_held() -> None:
    """The one in front takes the memory of what the next one would have found."""
    scheduler = ContinuousScheduler(scheduler_config(num_blocks=4))
    scheduler.add_request(request_spec("first", tuple(range(13)), 1), 0.0)
    step_of(scheduler)
    scheduler.add_request(request_spec("other", tuple(range(50, 58)), 2), 0.0)
    scheduler.add_request(request_spec("again", tuple(range(13)), 1), 0.0)
    step = step_of(scheduler)
    assert [s.request_id for s in step.sequences] == ["other"]
    while "again" not in [s.request_id for s in step.sequences]:
        step = step_of(scheduler)
    (sequence,) = (s for s in step.sequences if s.request_id == "again")
    found = sequence.first_position // 4
    assert 0 < found < 3
    assert sequence.block_table[:found] == (1, 2, 3)[:found]
    assert len(set(sequence.block_table)) == 4


def test_one_prefix_under_two_salts_is_computed_twice() -> None:
    """The second caller's first step costs what the first one's did: nothing tells them apart."""
    scheduler = ContinuousScheduler(scheduler_config(max_num_batched_tokens=32))
    computed = {}
    for name, salt in (("one", "a"), ("two", "b"), ("again", "a")):
        scheduler.add_request(request_spec(name, tuple(range(30)), 1, salt=salt), 0.0)
        computed[name] = step_of(scheduler).num_tokens
    assert computed == {"one": 30, "two": 30, "again": 2}
