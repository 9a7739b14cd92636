"""F-31: eight blocks, many long requests, somebody preempted before every step.

Every step advances the most deserving request or ends one; preemptions are bounded; the answers are
those of a roomy pool. The rules of the policy are checked at every step.
"""

import random

import pytest

from engine_svc.core.batching import BatchingOptions
from engine_svc.core.params import RequestId
from engine_svc.core.scheduler.base import SchedulerConfig
from tests.support.fault_counts import count
from tests.support.requests import request_spec
from tests.support.scheduler_machine.world import World

BLOCK_SIZE = 4
NUM_BLOCKS = 8
LONGEST = NUM_BLOCKS * BLOCK_SIZE
NUM_REQUESTS = count(12, 60)


def config(*, num_blocks: int = NUM_BLOCKS, prefix_caching: bool) -> SchedulerConfig:
    return SchedulerConfig(
        num_blocks=num_blocks,
        block_size=BLOCK_SIZE,
        max_model_len=LONGEST,
        max_num_seqs=6,
        max_num_batched_tokens=16,
        options=BatchingOptions(prefix_caching=prefix_caching),
    )


def crowded(world: World, seed: int) -> World:
    """Requests that each need a good part of the pool, of two priorities."""
    draw = random.Random(seed)  # noqa: S311 - lengths, not secrets
    for idx in range(NUM_REQUESTS):
        length = draw.randint(4, 14)
        prompt = tuple(range(1000 * idx, 1000 * idx + length))
        most = draw.randint(8, LONGEST - length)
        assert world.arrive(request_spec(f"r{idx}", prompt, most, priority=draw.choice((0, 0, 1))))
    return world


@pytest.mark.parametrize("prefix_caching", [True, False])
@pytest.mark.parametrize("seed", range(count(3, 20)))
def test_a_crowd_in_eight_blocks_is_served_in_turn(seed: int, *, prefix_caching: bool) -> None:
    """Nobody from outside: the rules bound the preemptions and let the first one advance."""
    world = crowded(World("continuous", config(prefix_caching=prefix_caching)), seed)
    world.drain()
    assert world.scheduler.load().num_preemptions > 0


@pytest.mark.parametrize("seed", range(count(3, 20)))
def test_preemption_before_every_step_stops_nobody(seed: int) -> None:
    """The least deserving of those that run loses its blocks each time; all answers come."""
    world = crowded(World("continuous", config(prefix_caching=True)), seed)
    num_forced = 0
    while world.owed:
        if len(running := world.scheduler.snapshot().running) > 1:
            world.preempt_request(running[-1])
            num_forced += 1
        world.step()
    assert world.scheduler.load().num_preemptions >= num_forced > NUM_REQUESTS


def test_whoever_is_alone_is_served_although_it_is_preempted_before_every_step() -> None:
    """A chunk of whole blocks is found again, so the next step goes on behind it."""
    world = World("continuous", config(prefix_caching=True))
    assert world.arrive(request_spec("long", tuple(range(28)), 4))
    for _ in range(2):
        world.step()
        world.preempt_request(RequestId("long"))
    world.step()
    assert world.owed[RequestId("long")].output == [0, 1]
