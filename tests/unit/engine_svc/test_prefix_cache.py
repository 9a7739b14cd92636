"""What requests take over from earlier ones, and what they leave behind."""

import pytest

from engine_svc.core.kv_cache.prefix_cache import PrefixCache
from engine_svc.core.params import BlockId
from engine_svc.core.request import Request
from tests.support.requests import request_spec


def request(*tokens: int) -> Request:
    """A request with a prompt."""
    return Request(spec=request_spec("r", tokens), arrival=0.0)


def with_blocks(cache: PrefixCache, owner: Request, count: int) -> Request:
    """The request, with blocks of the pool."""
    assert cache.pool.reserve(count)
    owner.block_table = tuple(cache.pool.allocate_reserved(count))
    return owner


@pytest.mark.parametrize(("length", "found"), [(4, 0), (5, 1), (8, 1), (9, 2), (12, 2)])
def test_the_last_token_is_never_taken_from_the_cache(length: int, found: int) -> None:
    """It must be computed to produce the first new one."""
    cache = PrefixCache(4, 4, is_on=True)
    first = with_blocks(cache, request(*range(12)), 3)
    cache.publish(first, first=0, end=2)
    assert cache.find(request(*range(length))) == first.block_table[:found]


def test_only_published_blocks_are_found_and_they_stay_when_their_owner_goes() -> None:
    """Until they are handed out for something else."""
    cache = PrefixCache(3, 4, is_on=True)
    owner = with_blocks(cache, request(*range(12)), 3)
    cache.publish(owner, first=0, end=1)
    assert cache.find(request(*range(12))) == (1,)
    cache.publish(owner, first=1, end=2)
    cache.pool.free(owner.block_table)
    assert cache.find(request(*range(12))) == (1, 2)
    assert cache.pool.num_cached == 2
    with_blocks(cache, request(99), 2)
    assert cache.find(request(*range(12))) == (BlockId(1),)


def test_switched_off_nothing_is_found_or_kept() -> None:
    """Blocks go back to the free list."""
    cache = PrefixCache(3, 4, is_on=False)
    owner = with_blocks(cache, request(*range(12)), 3)
    cache.publish(owner, first=0, end=3)
    assert cache.find(request(*range(12))) == ()
    cache.pool.free(owner.block_table)
    assert (cache.pool.num_free, cache.pool.num_cached) == (3, 0)


def test_what_is_withdrawn_is_not_found_wherever_it_is() -> None:
    """Held, given back, or computed by somebody else: a failed request leaves nothing behind."""
    cache = PrefixCache(6, 4, is_on=True)
    owner, twin = (with_blocks(cache, request(*range(12)), 3) for _ in range(2))
    for each in (owner, twin):
        cache.publish(each, first=0, end=3)
    cache.pool.free(twin.block_table)
    cache.withdraw(owner, first=1)
    assert cache.find_all(request(*range(12))) == owner.block_table[:1]
    assert (cache.pool.num_free, cache.pool.num_cached, cache.pool.num_used) == (2, 1, 3)
    cache.pool.check_integrity()


def test_a_prompt_of_full_blocks_can_be_found_as_a_whole() -> None:
    """By whoever copies the last block."""
    cache = PrefixCache(2, 4, is_on=True)
    owner = with_blocks(cache, request(*range(8)), 2)
    cache.publish(owner, first=0, end=2)
    assert cache.find_all(request(*range(8))) == (1, 2)
    assert cache.find(request(*range(8))) == (1,)


def test_blocks_are_found_within_a_salt() -> None:
    """Of the request that computed them."""
    cache = PrefixCache(2, 4, is_on=True)
    salted = Request(spec=request_spec("r", tuple(range(5)), salt="a"), arrival=0.0)
    with_blocks(cache, salted, 2)
    cache.publish(salted, first=0, end=1)
    assert cache.find(Request(spec=request_spec("s", tuple(range(5)), salt="a"), arrival=0.0)) == (
        1,
    )
    assert cache.find(request(*range(5))) == ()
