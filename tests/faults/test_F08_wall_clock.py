"""F-08: the wall clock jumps by an hour, forwards and backwards, in the middle of a stream.

No deadline fires, no stream ends early, no duration is negative: only monotonic clocks count.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from steeple_client import Client, TextDelta, Usage
from steeple_demo import model_dir
from tests.support.cluster import FAKE, Cluster
from tests.support.scraping import scrape_text
from tests.support.wall_clock import WallClock, wall_clock

HOUR_S = 3600


@pytest.fixture(scope="module")
def moved() -> Iterator[tuple[Cluster, WallClock]]:
    """Three processes whose wall clock can be moved."""
    patch = pytest.MonkeyPatch()
    metrics = ["--metrics-listen=127.0.0.1:0"]
    with (
        TemporaryDirectory(prefix="steeple-") as directory,
        wall_clock(Path(directory), patch) as clock,
        Cluster(model_dir(), Path(directory), engine=[*FAKE, *metrics], gateway=metrics) as cluster,
    ):
        yield cluster, clock


def test_the_clock_of_a_process_really_moves(moved: tuple[Cluster, WallClock]) -> None:
    """Or the other tests would show nothing."""
    _, clock = moved
    clock.move(HOUR_S)
    told = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time(), time.monotonic())"],
        env=clock.variables,
        capture_output=True,
        text=True,
        check=True,
    )
    clock.move(0)
    plain = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time(), time.monotonic())"],
        capture_output=True,
        text=True,
        check=True,
    )
    wall, monotonic = map(float, told.stdout.split())
    later_wall, later_monotonic = map(float, plain.stdout.split())
    assert wall - later_wall > HOUR_S - 60
    assert 0 <= later_monotonic - monotonic < 60


@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S], ids=["forwards", "backwards"])
def test_a_jump_in_the_middle_of_a_stream_is_not_noticed(
    moved: tuple[Cluster, WallClock], jump_s: int
) -> None:
    """The stream has a deadline of seconds; so has the next one, which begins after the jump."""
    cluster, clock = moved
    with Client(cluster.target) as client:
        quiet = client.generate("what time is it", max_tokens=80, temperature=0.0)
        stream = client.generate_stream(
            "what time is it", max_tokens=80, temperature=0.0, timeout_s=30.0
        )
        text, usage = "", None
        for number, event in enumerate(stream):
            if number == 5:
                clock.move(jump_s)
            if number == 40:
                clock.move(-jump_s)
            if isinstance(event, TextDelta):
                text += event.text
            if isinstance(event, Usage):
                usage = event
        assert text == quiet.text
        assert usage is not None
        times = (usage.queue_s, usage.prefill_s, usage.decode_s, usage.total_s)
        assert all(0 <= seconds < 30 for seconds in times), times
        after = client.generate("and now", max_tokens=5, timeout_s=10.0)
        assert after.usage.num_completion_tokens == 5
        clock.move(0)
    cluster.wait_until_idle()


def test_no_metric_has_become_negative(moved: tuple[Cluster, WallClock]) -> None:
    cluster, _ = moved
    for service in (cluster.gateway, cluster.engines[0]):
        address = next(e["address"] for e in service.events if e["event"] == "metrics_serving")
        text = scrape_text(str(address))
        assert "steeple_rpcs_total" in text
        assert [line for line in text.splitlines() if re.search(r" -\d", line)] == []
