"""The life of cores under scripted ones: lost, stalled, refused, replaced, ended."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from engine_svc.core.messages import AbortRequests, CoreConfig, Failed
from engine_svc.core_keeper import CoreKeeper, StartupRefused
from engine_svc.core_link import CoreLost, CoreStalled
from engine_svc.restarts import MAX_FAILED_STARTS
from engine_svc.watchdog import TICK_S
from tests.support.scripted_core import RecordingUser, ScriptedCore, stepped

ASKED = AbortRequests(request_ids=())


class Cores:
    """Makes scripted cores and keeps them."""

    def __init__(self) -> None:
        self.made: list[ScriptedCore] = []
        self._news = asyncio.Event()

    def make(self) -> ScriptedCore:
        """The next one; it says nothing yet."""
        self.made.append(ScriptedCore())
        self._news.set()
        return self.made[-1]

    async def number(self, count: int) -> ScriptedCore:
        """The core of this number, from 1, once it was made."""
        async with asyncio.timeout(10):
            while len(self.made) < count:
                self._news.clear()
                await self._news.wait()
        return self.made[count - 1]


def keeper_of(
    cores: Cores, *, startup_timeout_s: float = 30.0, step_deadline_s: float = 30.0
) -> CoreKeeper:
    """A keeper with these limits."""
    return CoreKeeper(
        cores.make,
        CoreConfig(model_dir="", runner="fake"),
        environment={},
        startup_timeout_s=startup_timeout_s,
        step_deadline_s=step_deadline_s,
        clock=time.monotonic,
    )


@asynccontextmanager
async def kept(keeper: CoreKeeper, user: RecordingUser) -> AsyncIterator[None]:
    """Run a keeper for the block."""
    task = asyncio.create_task(keeper.run(user))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_core_that_is_lost_is_killed_and_replaced() -> None:
    """Its user learns it first."""
    cores, user = Cores(), RecordingUser()
    async with kept(keeper_of(cores), user):
        first = await cores.number(1)
        first.become_ready()
        await user.ready.wait()
        first.lose()
        second = await cores.number(2)
        assert [type(lost) for lost in user.lost] == [CoreLost]
        assert first.ended == "killed"
        second.become_ready()
        await user.ready.wait()
    assert second.ended == "stopped"


async def test_a_core_that_owes_an_answer_and_is_silent_is_replaced() -> None:
    """It is killed: it does not listen."""
    cores, user = Cores(), RecordingUser(has_work=True)
    keeper = keeper_of(cores, step_deadline_s=0.1)
    async with kept(keeper, user):
        first = await cores.number(1)
        first.become_ready()
        await user.ready.wait()
        keeper.send(ASKED)
        first.tell(stepped())
        await cores.number(2)
        assert len(user.told) == 1
        assert [type(lost) for lost in user.lost] == [CoreStalled]
        assert first.ended == "killed"


async def test_a_first_step_as_long_as_the_warm_up_showed_is_not_stuck() -> None:
    """The deadline is far too short for this device, and nobody had to know."""
    cores, user = Cores(), RecordingUser(has_work=True)
    keeper = keeper_of(cores, step_deadline_s=0.01)
    async with kept(keeper, user):
        core = await cores.number(1)
        core.become_ready(longest_step_s=30.0)
        await user.ready.wait()
        keeper.send(ASKED)
        with pytest.raises(TimeoutError):
            # Two ticks of the watchdog: long enough for it to be wrong.
            await asyncio.wait_for(cores.number(2), 0.6)
        assert user.lost == []


async def test_a_step_as_long_as_an_earlier_one_is_not_stuck() -> None:
    """A model that has become slow is slow, and no reason to load it again."""
    cores, user = Cores(), RecordingUser(has_work=True)
    # More than one tick counts for at most: the step is heard of before it can matter.
    keeper = keeper_of(cores, step_deadline_s=3 * TICK_S)
    async with kept(keeper, user):
        core = await cores.number(1)
        core.become_ready()
        await user.ready.wait()
        keeper.send(ASKED)
        core.tell(stepped(step_s=30.0))
        with pytest.raises(TimeoutError):
            # Twice as long as it would be borne with otherwise.
            await asyncio.wait_for(cores.number(2), 6 * TICK_S)
        assert user.lost == []


async def test_a_core_that_owes_nothing_may_be_silent() -> None:
    """Idle for many times the deadline; the next command finds it as it was."""
    cores, user = Cores(), RecordingUser()
    keeper = keeper_of(cores, step_deadline_s=0.01)
    async with kept(keeper, user):
        core = await cores.number(1)
        core.become_ready()
        await user.ready.wait()
        keeper.send(ASKED)
        core.tell(stepped())
        with pytest.raises(TimeoutError):
            # Two ticks of the watchdog: long enough for it to be wrong.
            await asyncio.wait_for(cores.number(2), 0.6)
        assert (user.lost, keeper.silent_s) == ([], 0.0)


async def test_nothing_is_sent_before_a_core_is_ready() -> None:
    """What was asked of the one before is over."""
    cores, user = Cores(), RecordingUser()
    keeper = keeper_of(cores)
    async with kept(keeper, user):
        core = await cores.number(1)
        keeper.send(ASKED)
        core.become_ready()
        await user.ready.wait()
        assert core.commands == []
    assert core.ended == "stopped"


async def test_a_core_that_is_told_to_end_while_it_loads_is_killed() -> None:
    """It does not listen then."""
    cores, user = Cores(), RecordingUser()
    async with kept(keeper_of(cores), user):
        core = await cores.number(1)
    assert core.ended == "killed"


async def test_a_core_that_refuses_ends_the_service() -> None:
    """At the first start, with its own words."""
    cores = Cores()
    running = asyncio.create_task(keeper_of(cores).run(RecordingUser()))
    (await cores.number(1)).tell(Failed(message="no such model"))
    with pytest.raises(StartupRefused, match="no such model"):
        await running


async def test_a_core_that_takes_too_long_to_start_ends_the_service() -> None:
    """With the setting that allows more."""
    cores = Cores()
    with pytest.raises(StartupRefused, match="--startup-timeout-s"):
        await keeper_of(cores, startup_timeout_s=0.1).run(RecordingUser())
    assert cores.made[0].ended == "killed"


async def test_a_core_that_refuses_after_another_has_served_is_tried_again() -> None:
    """A device may need its time."""
    cores, user = Cores(), RecordingUser()
    async with kept(keeper_of(cores), user):
        first = await cores.number(1)
        first.become_ready()
        await user.ready.wait()
        first.lose()
        (await cores.number(2)).tell(Failed(message="busy"))
        (await cores.number(3)).become_ready()
        await user.ready.wait()


async def test_cores_that_die_before_they_are_ready_end_the_service() -> None:
    """After a few tries, with growing pauses."""
    cores = Cores()
    running = asyncio.create_task(keeper_of(cores).run(RecordingUser()))
    for number in range(MAX_FAILED_STARTS):
        (await cores.number(number + 1)).lose()
    with pytest.raises(StartupRefused, match="before it was ready"):
        await running
    assert len(cores.made) == MAX_FAILED_STARTS
