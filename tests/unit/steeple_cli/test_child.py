"""A supervised process: started again when it dies, left alone when it was told to end."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from steeple_cli.serving import child as supervised
from steeple_cli.serving.child import Child

HOUR_S = 3600.0
MODULE = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
sys.stderr.write('{"event": "up"}\\n')
sys.stderr.flush()
signal.pause()
"""


class Story:
    """What a child's log tells."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self.is_up = asyncio.Event()

    def tell(self, name: str, event: Mapping[str, object]) -> None:
        self.events.append(event["event"])
        if event["event"] == "up":
            self.is_up.set()


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a module that runs until it is signalled."""
    (tmp_path / "patient.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("in_folder")
async def test_a_hurried_child_ends_and_is_not_taken_for_dead() -> None:
    """Even if it had not been asked to stop before."""
    story = Story()
    child = Child("patient", "patient", [], story.tell)
    running = asyncio.create_task(child.keep_running())
    async with asyncio.timeout(30):
        await story.is_up.wait()
        child.hurry()
        await running
    assert story.events == ["up"]


@pytest.mark.usefixtures("in_folder")
async def test_a_child_that_is_to_be_started_again_is_not_once_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for its end does not wait for the pause before its next start."""
    for pause in ("FIRST_PAUSE_S", "MAX_PAUSE_S"):
        monkeypatch.setattr(supervised, pause, HOUR_S)
    (tmp_path / "dying.py").write_text("raise SystemExit(3)")
    died = asyncio.Event()
    child = Child("dying", "dying", [], lambda _, event: died.set() if "status" in event else None)
    running = asyncio.create_task(child.keep_running())
    async with asyncio.timeout(30):
        await died.wait()
        await child.stop(0)
        await running
