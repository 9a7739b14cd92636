"""What a core owes, by what was sent to it and what it says: on a clock that is told to go."""

from dataclasses import dataclass

import pytest

from engine_svc.vigil import PING_EVERY_S, PING_LIMIT_S, Vigil
from engine_svc.watchdog import TICK_S
from tests.support.scripted_core import stepped

DEADLINE_S = 60.0


@dataclass
class Clock:
    """A clock that goes when it is told to."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def vigil(clock: Clock) -> Vigil:
    """Over a core that is ready and idle."""
    ready = Vigil(DEADLINE_S, clock)
    ready.ready(longest_step_s=0.01)
    return ready


def look_for(vigil: Vigil, clock: Clock, seconds: float) -> str | None:
    """Look whenever it is time to, for so long; what was overdue, at once."""
    end = clock.now + seconds
    while clock.now < end:
        clock.now += min(vigil.pause_s, end - clock.now) or TICK_S
        if overdue := vigil.overdue():
            return overdue
    return None


def ping(vigil: Vigil, clock: Clock) -> None:
    """Let it become due, and send it."""
    clock.now += vigil.pause_s
    assert vigil.is_ping_due
    vigil.pinged()


def test_an_idle_core_is_left_alone_until_a_ping_is_due(vigil: Vigil, clock: Clock) -> None:
    """Nobody has to look before."""
    assert vigil.pause_s == PING_EVERY_S
    clock.now += PING_EVERY_S - 1.0
    assert not vigil.is_ping_due
    assert vigil.pause_s == pytest.approx(1.0)
    clock.now += 1.0
    assert vigil.is_ping_due


def test_every_word_puts_the_ping_off(vigil: Vigil, clock: Clock) -> None:
    """A core that was busy a moment ago is there."""
    clock.now += PING_EVERY_S - 1.0
    vigil.sent()
    vigil.told(stepped(), has_work=False)
    assert vigil.pause_s == PING_EVERY_S


def test_a_ping_is_sent_once(vigil: Vigil, clock: Clock) -> None:
    """Until it is answered, and it is no work: nothing is told to be silent."""
    ping(vigil, clock)
    clock.now += 2 * PING_EVERY_S
    assert not vigil.is_ping_due
    assert (vigil.pause_s, vigil.silent_s) == (TICK_S, 0.0)


def test_an_answer_makes_the_core_idle_again(vigil: Vigil, clock: Clock) -> None:
    """However late within the limit."""
    ping(vigil, clock)
    assert look_for(vigil, clock, PING_LIMIT_S - 1.0) is None
    vigil.told(stepped(0.0, num_obeyed=1), has_work=False)
    assert vigil.pause_s == PING_EVERY_S


def test_no_answer_is_overdue(vigil: Vigil, clock: Clock) -> None:
    """Much earlier than the step deadline."""
    ping(vigil, clock)
    assert look_for(vigil, clock, PING_LIMIT_S) is None
    assert "no sign of life" in (look_for(vigil, clock, 2 * TICK_S) or "")


def test_time_in_which_this_process_did_not_run_is_no_silence(vigil: Vigil, clock: Clock) -> None:
    """Stopped with its core for an hour: the core gets its time to answer."""
    ping(vigil, clock)
    clock.now += 3600.0
    assert vigil.overdue() is None
    assert look_for(vigil, clock, PING_LIMIT_S - 1.0) is None


def test_a_request_behind_a_ping_leaves_its_limit(vigil: Vigil, clock: Clock) -> None:
    """The core was idle when it was asked, and the ping comes first."""
    ping(vigil, clock)
    assert look_for(vigil, clock, PING_LIMIT_S - 1.0) is None
    vigil.sent()
    assert look_for(vigil, clock, 2.0) is not None


def test_a_long_step_behind_an_answered_ping_has_the_step_deadline(
    vigil: Vigil, clock: Clock
) -> None:
    """The answer comes before the step of what was sent with the ping."""
    ping(vigil, clock)
    vigil.sent()
    vigil.told(stepped(0.0, num_obeyed=1), has_work=True)
    assert look_for(vigil, clock, DEADLINE_S) is None
    assert look_for(vigil, clock, 2 * TICK_S) == f"it was silent for more than {DEADLINE_S:g} s"


def test_the_first_command_begins_the_step_deadline(vigil: Vigil, clock: Clock) -> None:
    """Later ones do not put it off; whoever watches is told to look from now on."""
    clock.now += 4.0
    assert vigil.sent()
    assert vigil.pause_s == TICK_S
    assert look_for(vigil, clock, DEADLINE_S - 1.0) is None
    assert not vigil.sent()
    assert vigil.silent_s == pytest.approx(DEADLINE_S - 1.0)
    assert look_for(vigil, clock, 2.0) is not None


@pytest.mark.parametrize(
    ("num_obeyed", "is_idle", "has_work"),
    [(1, True, False), (2, False, False), (2, True, True)],
    ids=["a command is under way", "it says that it works", "somebody waits for it"],
)
def test_a_core_that_may_be_in_a_step_is_not_idle(
    vigil: Vigil, clock: Clock, *, num_obeyed: int, is_idle: bool, has_work: bool
) -> None:
    """It is not pinged, and only the step deadline counts: its step may be a long one."""
    vigil.sent()
    vigil.sent()
    vigil.told(stepped(num_obeyed=num_obeyed, is_idle=is_idle), has_work=has_work)
    assert vigil.pause_s == TICK_S
    assert look_for(vigil, clock, DEADLINE_S) is None
    assert look_for(vigil, clock, 2 * TICK_S) is not None


def test_a_core_that_is_not_ready_owes_work(clock: Clock) -> None:
    """It has the limit it was made with, and no ping is due."""
    loading = Vigil(600.0, clock)
    assert look_for(loading, clock, 600.0) is None
    assert not loading.is_ping_due
    assert look_for(loading, clock, 2 * TICK_S) is not None
