"""F-06: a model that is missing, a warm-up that raises, hangs or crashes.

Never SERVING; one clear line and a status that is not 0, in time; nothing is left running.
"""

import time
from pathlib import Path

import pytest

from tests.support.cluster import FAKE
from tests.support.deployment import Service
from tests.support.fault_counts import limit_s
from tests.support.lone_engine import assert_gone, core_of

STARTUP_S = 3.0
IN_WARM_UP = "--fake-failure-step=0"


def _end_of(service: Service) -> tuple[int, str]:
    """The status of a service that ends by itself, and its last line."""
    try:
        status = service.wait()
        assert "ready" not in service.names()
        return status, str(service.events[-1]["event"])
    finally:
        service.stop()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--model=/nowhere/at/all"], "error: no model directory at /nowhere/at/all"),
        ([IN_WARM_UP], "error: loading the model or its first step failed"),
        (
            [IN_WARM_UP, "--fake-failure=hang", f"--startup-timeout-s={STARTUP_S}"],
            f"error: the core was not ready within {STARTUP_S:g} s: raise --startup-timeout-s",
        ),
        ([IN_WARM_UP, "--fake-failure=crash"], "error: the core ended 3 times before it was ready"),
    ],
    ids=["missing", "raises", "hangs", "crashes"],
)
def test_what_cannot_start_ends_with_one_clear_line(
    demo_dir: Path, arguments: list[str], told: str
) -> None:
    """Status 2; the last line says why."""
    model = [] if arguments[0].startswith("--model") else [f"--model={demo_dir}"]
    status, last = _end_of(Service("engine_svc", [*FAKE, *model, *arguments]))
    assert status == 2
    assert last.startswith(told)


def test_a_warm_up_that_hangs_ends_in_time_and_leaves_nothing(demo_dir: Path) -> None:
    """The core, which hears nothing, is killed."""
    begin = time.monotonic()
    service = Service(
        "engine_svc",
        [
            *(*FAKE, f"--model={demo_dir}", IN_WARM_UP, "--fake-failure=hang"),
            f"--startup-timeout-s={STARTUP_S}",
        ],
    )
    core = core_of(service)
    status, _ = _end_of(service)
    # Beyond the limit: the interpreter starts, a tick of the watchdog, the kill.
    assert (status, time.monotonic() - begin <= STARTUP_S + limit_s(5.0)) == (2, True)
    assert_gone(core)


def test_cores_that_crash_are_started_with_growing_pauses(demo_dir: Path) -> None:
    """Half a second, a second; then the service gives up."""
    service = Service(
        "engine_svc", [*FAKE, f"--model={demo_dir}", IN_WARM_UP, "--fake-failure=crash"]
    )
    _end_of(service)
    pauses = [e["restart_in_s"] for e in service.events if e["event"] == "core_lost"]
    assert pauses == [0.5, 1.0]
