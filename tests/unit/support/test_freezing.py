"""What stands still for a moment goes on afterwards."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from tests.freezing import frozen, run
from tests.support.waiting import eventually


@pytest.fixture
def sleeping() -> Iterator[psutil.Process]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield psutil.Process(process.pid)
        process.kill()


def is_stopped(process: psutil.Process) -> bool:
    return bool(process.status() == psutil.STATUS_STOPPED)


def test_a_process_stands_still_for_the_block(sleeping: psutil.Process) -> None:
    with frozen([sleeping]):
        eventually(lambda: is_stopped(sleeping))
    eventually(lambda: not is_stopped(sleeping))


def test_who_was_stopped_by_a_test_stays_so(sleeping: psutil.Process) -> None:
    sleeping.send_signal(signal.SIGSTOP)
    eventually(lambda: is_stopped(sleeping))
    with frozen([sleeping]):
        pass
    assert is_stopped(sleeping)


def test_who_has_ended_is_let_be(sleeping: psutil.Process) -> None:
    with frozen([sleeping]):
        sleeping.kill()
        sleeping.wait()
    with frozen([sleeping]):
        pass


def test_it_ends_as_pytest_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--co", "-q", "no-such-file"], seed=1) == pytest.ExitCode.USAGE_ERROR
    assert capsys.readouterr().out.startswith("frozen ")
