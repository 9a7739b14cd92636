"""F-03: the core, or the whole engine service, stops running for a while.

A stuck core is noticed within the step deadline and a second, its streams end ENGINE_STALLED, and
another takes its place; so does it where an idle core is stuck, which is asked for a sign of life.
A service that was stopped as a whole goes on; what nobody waits for any more is not answered.
"""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import psutil
import pytest

from engine_svc.vigil import PING_LIMIT_S
from steeple_rpc.errors import DeadlineExpired, Unavailable
from tests.support.deployment import wait_for_event
from tests.support.fault_counts import limit_s
from tests.support.lone_engine import LoneEngine, assert_gone
from tests.support.waiting import eventually

DEADLINE_S = 2.5
"""Longer than a moment in which a core that is well gets no processor."""
LIMITS = (f"--step-deadline-s={DEADLINE_S}",)
HANGS = 66
VISIBLE_S = DEADLINE_S + 1.0
NUM_PINGS = 2
QUIET_S = 2.0
"""An idle core wakes up less often."""


class _Rest:
    """Counts for how often a process woke up only after it had slept for QUIET_S.

    Not how often it wakes up in a time: it is on its way to sleep at first, and a machine may
    wake it up for reasons of its own.
    """

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._num_quiet = 0
        self._seen, self._since = self._num_awakenings(), time.monotonic()
        self._last = self._since

    def num_quiet(self) -> int:
        """Until now; to be asked again and again."""
        seen, now = self._num_awakenings(), time.monotonic()
        if seen != self._seen:
            self._num_quiet += self._last - self._since >= QUIET_S
            self._seen, self._since = seen, now
        self._last = now
        return self._num_quiet

    def _num_awakenings(self) -> int:
        switches: int = self._process.num_ctx_switches().voluntary
        return switches


def _stop(engine: LoneEngine) -> None:
    engine.core.send_signal(signal.SIGSTOP)


def _hang(engine: LoneEngine) -> None:
    """In a step, in a call that never returns."""
    engine.stream(5, HANGS)


@pytest.mark.parametrize("stick", [_stop, _hang])
def test_a_stuck_core_is_told_and_replaced(
    demo_dir: Path, stick: Callable[[LoneEngine], None]
) -> None:
    """NOT_SERVING and ENGINE_STALLED in time; the next core serves."""
    script = ("--fake-failure=hang", f"--fake-raise-token-id={HANGS}")
    with LoneEngine(demo_dir, *LIMITS, *script) as engine:
        stuck = engine.core
        # Not after the core's last word, however long that takes to be heard.
        asked = time.monotonic()
        stream = engine.stream(5, 6, 7, max_tokens=900)
        stream.wait_for_tokens(3)
        begin = time.monotonic()
        stick(engine)
        eventually(lambda: not engine.is_serving(), engine.service.told)
        visible_s = time.monotonic() - begin
        assert stream.reason == "ENGINE_STALLED"
        assert stream.ended_at - asked >= DEADLINE_S
        assert max(visible_s, stream.ended_at - begin) <= limit_s(VISIBLE_S)
        assert_gone(stuck)
        engine.wait_until_ready(times=2)
        assert engine.is_serving()
        assert engine.answer(5, 6, max_tokens=3) == [5, 6, 5]
        assert engine.service.names().count("core_stalled") == 1


def test_an_idle_core_may_stop_for_a_moment(demo_dir: Path) -> None:
    """Stopped while nobody asks for anything, and continued before somebody does."""
    with LoneEngine(demo_dir, *LIMITS) as engine:
        core = engine.core
        core.send_signal(signal.SIGSTOP)
        # Nobody ends, for longer than the deadline.
        with pytest.raises(subprocess.TimeoutExpired):
            engine.service.process.wait(VISIBLE_S)
        core.send_signal(signal.SIGCONT)
        assert engine.answer(5, 6, max_tokens=3) == [5, 6, 5]
        assert "core_stalled" not in engine.service.names()


def test_an_idle_core_that_is_stuck_is_replaced_before_anybody_asks(demo_dir: Path) -> None:
    """NOT_SERVING in time, SERVING with the next core: no request finds the one that is stuck.

    The step deadline, which is longer than the test, has no part in it.
    """
    with LoneEngine(demo_dir, "--step-deadline-s=600") as engine:
        stuck = engine.core
        begin = time.monotonic()
        stuck.send_signal(signal.SIGSTOP)
        eventually(lambda: not engine.is_serving(), engine.service.told)
        assert time.monotonic() - begin >= PING_LIMIT_S
        assert_gone(stuck)
        engine.wait_until_ready(times=2)
        assert engine.is_serving()
        assert engine.core.pid != stuck.pid
        assert engine.answer(5, 6, max_tokens=3) == [5, 6, 5]
        assert engine.service.names().count("core_stalled") == 1


def test_an_idle_core_that_is_well_stays(demo_dir: Path) -> None:
    """Asked for a sign of life now and then, it wakes up for that alone and goes on serving."""
    with LoneEngine(demo_dir, *LIMITS) as engine:
        assert engine.answer(5, 6, max_tokens=3) == [5, 6, 5]
        core = engine.core
        rest = _Rest(core)
        eventually(lambda: rest.num_quiet() >= NUM_PINGS)
        assert engine.is_serving()
        assert engine.core.pid == core.pid
        assert engine.service.names().count("ready") == 1
        assert engine.answer(5, 6, max_tokens=3) == [5, 6, 5]


def test_a_service_that_was_stopped_answers_nobody_who_has_left(demo_dir: Path) -> None:
    """Front and core stop for longer than the step deadline: no core is blamed for it."""
    with LoneEngine(demo_dir, *LIMITS) as engine:
        core = engine.core
        stream = engine.stream(5, 6, 7, max_tokens=900, timeout_s=2 * DEADLINE_S)
        stream.wait_for_tokens(3)
        engine.service.signal(signal.SIGSTOP)
        core.send_signal(signal.SIGSTOP)
        # Its pings are answered by nobody, either: after 5 s, as late as its deadline may be seen.
        assert isinstance(stream.join().error, DeadlineExpired | Unavailable)
        received = len(stream.tokens)
        core.send_signal(signal.SIGCONT)
        engine.service.signal(signal.SIGCONT)
        assert engine.answer(5, 6, max_tokens=3) == [5, 6, 5]
        wait_for_event(engine.service, "rpc_finished")
        assert "core_stalled" not in engine.service.names()
        assert engine.core.pid == core.pid
        assert len(stream.tokens) == received
        ended = [e for e in engine.service.events if e["event"] == "rpc_finished"]
        assert ended[0]["code"] in {
            grpc.StatusCode.CANCELLED.name,
            grpc.StatusCode.DEADLINE_EXCEEDED.name,
        }
