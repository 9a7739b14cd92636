"""Silence is counted while this process runs; usual steps are never too long."""

from dataclasses import dataclass

from engine_svc.watchdog import TICK_S, Watchdog


@dataclass
class Clock:
    """A clock that goes when it is told to."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def ticks_until_stuck(watchdog: Watchdog, clock: Clock, pause_s: float = TICK_S) -> int:
    """How many ticks, so far apart, it takes."""
    for number in range(1, 10_000):
        clock.now += pause_s
        if watchdog.is_stuck():
            return number
    raise AssertionError("never")


def test_silence_beyond_the_limit_is_stuck() -> None:
    """Within one tick of it."""
    clock = Clock()
    watchdog = Watchdog(2.0, clock)
    assert ticks_until_stuck(watchdog, clock) == 2.0 / TICK_S + 1


def test_every_word_starts_again() -> None:
    """However late it comes."""
    clock = Clock()
    watchdog = Watchdog(2.0, clock)
    ticks_until_stuck(watchdog, clock)
    watchdog.heard()
    assert ticks_until_stuck(watchdog, clock) == 2.0 / TICK_S + 1


def test_time_in_which_this_process_did_not_run_hardly_counts() -> None:
    """Stopped for an hour and continued: the core, stopped too, gets its time to speak."""
    clock = Clock()
    watchdog = Watchdog(2.0, clock)
    clock.now += 3600.0
    assert not watchdog.is_stuck()
    assert ticks_until_stuck(watchdog, clock) == (2.0 - 2 * TICK_S) / TICK_S + 1


def test_slow_steps_raise_the_limit_and_are_forgotten_slowly() -> None:
    """Four times the slowest of the recent ones."""
    watchdog = Watchdog(2.0, Clock())
    watchdog.heard(0.1)
    assert watchdog.limit_s == 2.0
    watchdog.heard(5.0)
    assert watchdog.limit_s == 20.0
    watchdog.heard(0.1)
    assert 19.0 < watchdog.limit_s < 20.0
    for _ in range(1000):
        watchdog.heard(0.1)
    assert watchdog.limit_s == 2.0


def test_words_without_a_step_leave_the_limit() -> None:
    """An abort that is answered says nothing of how long steps take."""
    watchdog = Watchdog(2.0, Clock())
    watchdog.heard(5.0)
    watchdog.heard()
    assert watchdog.limit_s == 20.0
