"""F-01: an engine is killed under its streams. They go on with the same tokens; READY comes back.

On another engine, or on the same one when it has been started again; only where none comes in time
do they end, UNAVAILABLE ENGINE_LOST, with all that was delivered right.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest

from steeple_cli.load.history import End, History, LoadRequest
from steeple_cli.load.loops import closed_loop
from steeple_client import AsyncClient, Event, TextDelta
from tests.support.cluster import Cluster, load_of
from tests.support.deployment import wait_for_event
from tests.support.fault_counts import count
from tests.support.guarantees import Expected, Promise, violations
from tests.support.pace import Pace
from tests.support.traffic import callers, echoes
from tests.support.waiting import eventually

FAKE = ("--runner=fake", "--fake-step-ms=1", "--max-num-seqs=128", "--max-num-waiting=512")
MAX_TOKENS = 240


async def _whole(target: str) -> Callable[[LoadRequest], Expected]:
    """What each answer must be: prompts differ in their names alone, so does what is echoed."""
    async with AsyncClient(target) as client:

        async def answer(prompt: str) -> str:
            return (await client.generate(prompt, max_tokens=MAX_TOKENS, temperature=0.0)).text

        sample = await answer(f"<{'c000000'}> tell ")

    def expected(request: LoadRequest) -> Expected:
        return Expected(text=sample.replace("c000000", request.name))

    return expected


async def _killed_under_load(
    cluster: Cluster, pace: Pace, kill: Callable[[], object], num_streams: int
) -> list[History]:
    """The histories of streams that all run, and have brought text, when `kill` is called."""
    pace.slow()
    begun: set[str] = set()

    def note(request: LoadRequest, event: Event) -> None:
        if isinstance(event, TextDelta):
            begun.add(request.name)

    async with callers(cluster.target, num_connections=2, on_event=note) as sending:
        requests = echoes(num_streams, max_tokens=MAX_TOKENS)
        load = asyncio.create_task(closed_loop(sending.send, requests, num_callers=num_streams))
        await asyncio.to_thread(eventually, lambda: len(begun) == num_streams)
        assert _num_running(cluster) == num_streams
        await asyncio.to_thread(kill)
        pace.fast()
        return await load


def _num_running(cluster: Cluster) -> int:
    running = 0
    for index in range(len(cluster.engines)):
        with cluster.engine_stub(index) as stub:
            running += load_of(stub).num_running
    return running


def _assert_whole(
    histories: Sequence[History], expected: Callable[[LoadRequest], Expected], *allowed: str
) -> None:
    promise = Promise(allowed=frozenset(allowed), max_s=60, expected=expected, has_canaries=True)
    broken = violations(histories, promise)
    assert not broken, "\n".join(broken[:10])


async def test_streams_go_on_at_the_other_engine(demo_dir: Path, sockets: Path, pace: Pace) -> None:
    """All of them, though half of them have lost their engine."""
    with Cluster(demo_dir, sockets, num_engines=2, engine=FAKE, pace=pace) as cluster:
        expected = await _whole(cluster.target)
        rss = psutil.Process(cluster.gateway.process.pid).memory_info().rss
        victim = cluster.engines[0]
        histories = await _killed_under_load(
            cluster, pace, lambda: victim.signal(signal.SIGKILL), count(16, 100)
        )
        _assert_whole(histories, expected)
        assert all(history.end is End.DONE for history in histories)
        await asyncio.to_thread(wait_for_event, cluster.gateway, "engine_attempt_failed")
        grown = psutil.Process(cluster.gateway.process.pid).memory_info().rss - rss
        assert grown < 64 << 20
        await asyncio.to_thread(cluster.replace_engine, 0)
        await asyncio.to_thread(cluster.wait_until_ready)
        await asyncio.to_thread(cluster.wait_until_idle)


async def test_streams_wait_for_the_engine_that_is_started_again(
    demo_dir: Path, sockets: Path, pace: Pace
) -> None:
    with Cluster(demo_dir, sockets, engine=FAKE, pace=pace) as cluster:
        expected = await _whole(cluster.target)
        histories = await _killed_under_load(
            cluster, pace, lambda: cluster.replace_engine(0), count(16, 100)
        )
        _assert_whole(histories, expected)
        assert all(history.end is End.DONE for history in histories)
        await asyncio.to_thread(cluster.wait_until_idle)


async def test_without_an_engine_in_time_they_end_and_keep_what_they_have(
    demo_dir: Path, sockets: Path, pace: Pace
) -> None:
    with Cluster(
        demo_dir, sockets, engine=FAKE, pace=pace, gateway=["--takeover-timeout-s=0.5"]
    ) as cluster:
        expected = await _whole(cluster.target)
        histories = await _killed_under_load(
            cluster, pace, lambda: cluster.engines[0].signal(signal.SIGKILL), count(8, 100)
        )
        _assert_whole(histories, expected, "ENGINE_LOST")
        assert all(history.end is End.FAILED for history in histories)
        assert all(history.num_tokens > 0 for history in histories)
        await asyncio.to_thread(cluster.replace_engine, 0)
        await asyncio.to_thread(cluster.wait_until_ready)


def _kill_busy(cluster: Cluster) -> bool:
    """Kill the engine that runs something."""
    for engine, index in zip(cluster.engines, range(2), strict=True):
        with cluster.engine_stub(index) as stub:
            if load_of(stub).num_running:
                engine.signal(signal.SIGKILL)
                return True
    raise AssertionError("nothing runs any more")


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_seeded_stream_of_a_real_model_goes_on_exactly(
    demo_dir: Path, sockets: Path, seed: int
) -> None:
    """In fp32 the sampled tokens are those of the stream that nothing cut.

    That one is asked for much more: it has not ended before its engine is killed.
    """
    with Cluster(demo_dir, sockets, num_engines=2, engine=["--num-threads=1"]) as cluster:
        async with AsyncClient(cluster.target) as client:
            options = {"seed": seed, "temperature": 1.0, "ignore_eos": True}
            whole = await client.generate("Once upon", max_tokens=150, **options)  # type: ignore[arg-type] # by name
            text, is_killed = "", False
            stream = client.generate_stream("Once upon", max_tokens=1000, **options)  # type: ignore[arg-type] # likewise
            async with contextlib.aclosing(stream) as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        text += event.text
                        is_killed = is_killed or _kill_busy(cluster)
                    if len(text) >= len(whole.text):
                        break
            assert text[: len(whole.text)] == whole.text
        await asyncio.to_thread(wait_for_event, cluster.gateway, "engine_attempt_failed")
