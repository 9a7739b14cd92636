"""The life of cores under scripted ones: lost, stalled, refused, replaced, ended."""

import asyncio

import pytest

from engine_svc.core.messages import AbortRequests, Failed, Ping
from engine_svc.core_keeper import StartupRefused
from engine_svc.core_link import CoreLost, CoreStalled
from engine_svc.restarts import MAX_FAILED_STARTS
from engine_svc.vigil import PING_EVERY_S, PING_LIMIT_S
from engine_svc.watchdog import TICK_S
from tests.support.kept_cores import Cores, keeper_of, kept, ready_core
from tests.support.scripted_core import RecordingUser, stepped
from tests.support.virtual_time import in_virtual_time

ASKED = AbortRequests(request_ids=())
HOUR_S = 3600.0


async def seconds_until(event: asyncio.Event) -> float:
    """How long it takes."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    await event.wait()
    return loop.time() - begin


@in_virtual_time
async def test_a_core_that_is_lost_is_killed_and_replaced() -> None:
    """Its user learns it first."""
    cores, user = Cores(), RecordingUser()
    async with kept(keeper_of(cores), user):
        first = await ready_core(cores, user)
        first.lose()
        second = await cores.number(2)
        assert [type(lost) for lost in user.lost] == [CoreLost]
        assert first.ended == "killed"
        second.become_ready()
        await user.ready.wait()
    assert second.ended == "stopped"


@in_virtual_time
async def test_a_core_that_owes_an_answer_and_is_silent_is_replaced() -> None:
    """It is killed: it does not listen."""
    cores, user = Cores(), RecordingUser(has_work=True)
    keeper = keeper_of(cores, step_deadline_s=0.1)
    async with kept(keeper, user):
        first = await ready_core(cores, user)
        keeper.send(ASKED)
        first.tell(stepped())
        await cores.number(2)
        assert len(user.told) == 1
        assert [type(lost) for lost in user.lost] == [CoreStalled]
        assert first.ended == "killed"


@in_virtual_time
async def test_a_step_deadline_begins_with_the_first_command() -> None:
    """However long the core was idle, and nobody looked."""
    cores, user = Cores(), RecordingUser()
    keeper = keeper_of(cores, step_deadline_s=1.0)
    async with kept(keeper, user):
        await ready_core(cores, user)
        await asyncio.sleep(1.0)
        keeper.send(ASKED)
        assert 1.0 <= await seconds_until(user.losing) <= 1.0 + 2 * TICK_S


@in_virtual_time
async def test_an_idle_core_that_dies_is_missed_at_once() -> None:
    """Nobody has to look first."""
    cores, user = Cores(), RecordingUser()
    async with kept(keeper_of(cores), user):
        core = await ready_core(cores, user)
        await asyncio.sleep(1.0)
        core.lose()
        assert await seconds_until(user.losing) < TICK_S
        assert [type(lost) for lost in user.lost] == [CoreLost]


@in_virtual_time
async def test_a_first_step_as_long_as_the_warm_up_showed_is_not_stuck() -> None:
    """The deadline is far too short for this device, and nobody had to know."""
    cores, user = Cores(), RecordingUser(has_work=True)
    keeper = keeper_of(cores, step_deadline_s=0.01)
    async with kept(keeper, user):
        await ready_core(cores, user, longest_step_s=30.0)
        keeper.send(ASKED)
        await asyncio.sleep(119.0)
        assert user.lost == []
        await asyncio.sleep(2.0)
        assert [type(lost) for lost in user.lost] == [CoreStalled]


@in_virtual_time
async def test_a_step_as_long_as_an_earlier_one_is_not_stuck() -> None:
    """A model that has become slow is slow, and no reason to load it again."""
    cores, user = Cores(), RecordingUser(has_work=True)
    keeper = keeper_of(cores, step_deadline_s=1.0)
    async with kept(keeper, user):
        core = await ready_core(cores, user)
        keeper.send(ASKED)
        core.tell(stepped(step_s=30.0))
        await asyncio.sleep(119.0)
        assert user.lost == []
        await asyncio.sleep(2.0)
        assert [type(lost) for lost in user.lost] == [CoreStalled]


@in_virtual_time
async def test_an_idle_core_that_answers_pings_is_never_replaced() -> None:
    """An hour without a request, however short the deadline; it has worked, and works again."""
    cores, user = Cores(), RecordingUser()
    keeper = keeper_of(cores, step_deadline_s=0.01)
    async with kept(keeper, user):
        core = await cores.number(1)
        core.answers_pings = True
        core.become_ready()
        await user.ready.wait()
        keeper.send(ASKED)
        core.tell(stepped())
        await asyncio.sleep(HOUR_S)
        assert (user.lost, keeper.silent_s) == ([], 0.0)
        pings = core.commands[1:]
        assert pings == [Ping()] * len(pings)
        assert HOUR_S / PING_EVERY_S - 1 <= len(pings) <= HOUR_S / PING_EVERY_S


@in_virtual_time
async def test_an_idle_core_that_answers_no_ping_is_replaced() -> None:
    """Nobody has to ask for anything; the step deadline is not waited for."""
    cores, user = Cores(), RecordingUser()
    async with kept(keeper_of(cores, step_deadline_s=3600.0), user):
        stuck = await ready_core(cores, user)
        noticed_s = await seconds_until(user.losing)
        assert PING_LIMIT_S <= noticed_s - PING_EVERY_S <= PING_LIMIT_S + 2 * TICK_S
        assert [type(lost) for lost in user.lost] == [CoreStalled]
        await ready_core(cores, user, 2)
        assert stuck.commands == [Ping()]
        assert stuck.ended == "killed"


@in_virtual_time
async def test_a_request_does_not_give_an_idle_core_that_is_stuck_more_time() -> None:
    """What an idle core owes comes before what it is asked for after that."""
    cores, user = Cores(), RecordingUser(has_work=True)
    keeper = keeper_of(cores, step_deadline_s=3600.0)
    async with kept(keeper, user):
        await ready_core(cores, user)
        await asyncio.sleep(PING_EVERY_S + PING_LIMIT_S - 1.0)
        keeper.send(ASKED)
        await asyncio.sleep(2.0)
        assert [type(lost) for lost in user.lost] == [CoreStalled]


@in_virtual_time
async def test_a_core_that_works_for_nobody_any_more_is_not_pinged() -> None:
    """Its long step is work: the step deadline rules, and nothing shorter."""
    cores, user = Cores(), RecordingUser()
    keeper = keeper_of(cores, step_deadline_s=60.0)
    async with kept(keeper, user):
        core = await ready_core(cores, user)
        keeper.send(ASKED)
        core.tell(stepped(is_idle=False))
        await asyncio.sleep(59.0)
        assert (user.lost, core.commands) == ([], [ASKED])
        await asyncio.sleep(2.0)
        assert [type(lost) for lost in user.lost] == [CoreStalled]


@in_virtual_time
async def test_a_core_that_loads_is_not_pinged() -> None:
    """It does not listen; --startup-timeout-s rules."""
    cores, user = Cores(), RecordingUser()
    async with kept(keeper_of(cores, startup_timeout_s=600.0), user):
        core = await cores.number(1)
        await asyncio.sleep(599.0)
        assert (user.lost, core.commands) == ([], [])


@in_virtual_time
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


@in_virtual_time
async def test_a_keeper_that_is_told_to_end_with_the_first_command_ends() -> None:
    """Both come in one turn of the loop."""
    cores, user = Cores(), RecordingUser()
    keeper = keeper_of(cores)
    async with kept(keeper, user):
        core = await ready_core(cores, user)
        await asyncio.sleep(1.0)
        keeper.send(ASKED)
    assert core.ended == "stopped"


@in_virtual_time
async def test_a_core_that_is_told_to_end_while_it_loads_is_killed() -> None:
    """It does not listen then."""
    cores, user = Cores(), RecordingUser()
    async with kept(keeper_of(cores), user):
        core = await cores.number(1)
    assert core.ended == "killed"


@in_virtual_time
async def test_a_core_that_refuses_ends_the_service() -> None:
    """At the first start, with its own words."""
    cores = Cores()
    running = asyncio.create_task(keeper_of(cores).run(RecordingUser()))
    (await cores.number(1)).tell(Failed(message="no such model"))
    with pytest.raises(StartupRefused, match="no such model"):
        await running


@in_virtual_time
async def test_a_core_that_takes_too_long_to_start_ends_the_service() -> None:
    """With the setting that allows more."""
    cores = Cores()
    with pytest.raises(StartupRefused, match="--startup-timeout-s"):
        await keeper_of(cores, startup_timeout_s=0.1).run(RecordingUser())
    assert cores.made[0].ended == "killed"


@in_virtual_time
async def test_a_core_that_refuses_after_another_has_served_is_tried_again() -> None:
    """A device may need its time."""
    cores, user = Cores(), RecordingUser()
    async with kept(keeper_of(cores), user):
        first = await ready_core(cores, user)
        first.lose()
        (await cores.number(2)).tell(Failed(message="busy"))
        await ready_core(cores, user, 3)


@in_virtual_time
async def test_cores_that_die_before_they_are_ready_end_the_service() -> None:
    """After a few tries, with growing pauses."""
    cores = Cores()
    running = asyncio.create_task(keeper_of(cores).run(RecordingUser()))
    for number in range(MAX_FAILED_STARTS):
        (await cores.number(number + 1)).lose()
    with pytest.raises(StartupRefused, match="before it was ready"):
        await running
    assert len(cores.made) == MAX_FAILED_STARTS
