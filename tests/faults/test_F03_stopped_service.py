"""F-03: a service is stopped and goes on later. Its streams do not wait; nothing stale comes.

The stopped process keeps its connections: only that it answers nothing gives it away.
"""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

from steeple_cli.load.history import End, History, LoadRequest
from steeple_cli.load.loops import closed_loop
from steeple_client import AsyncClient, Event, TextDelta
from tests.support.cluster import Cluster
from tests.support.deployment import Service, wait_for_event
from tests.support.fault_counts import count
from tests.support.guarantees import Expected, Promise, canary, violations
from tests.support.pace import Pace
from tests.support.traffic import callers, echo
from tests.support.waiting import eventually

FAKE = ("--runner=fake", "--fake-step-ms=1", "--max-num-seqs=128", "--max-num-waiting=512")
GATEWAY = ("--upstream-stall-s=1",)
MAX_TOKENS = 200


async def _whole(target: str) -> Callable[[LoadRequest], Expected]:
    async with AsyncClient(target) as client:
        prompt = f"{canary(echo('c000000'))} tell "
        text = (await client.generate(prompt, max_tokens=MAX_TOKENS, temperature=0.0)).text
    return lambda request: Expected(text=text.replace("c000000", request.name))


async def _stopped_under_load(
    cluster: Cluster, pace: Pace, stopped: Service, num_streams: int
) -> list[History]:
    """Streams that have brought text when the service is stopped; it goes on once it is missed."""
    begun: set[str] = set()

    def note(request: LoadRequest, event: Event) -> None:
        if isinstance(event, TextDelta):
            begun.add(request.name)

    pace.slow()
    async with callers(cluster.target, num_connections=2, on_event=note) as sending:
        requests = [echo(f"c{number:06d}", max_tokens=MAX_TOKENS) for number in range(num_streams)]
        load = asyncio.create_task(closed_loop(sending.send, requests, num_callers=num_streams))
        await asyncio.to_thread(eventually, lambda: len(begun) == num_streams)
        stopped.signal(signal.SIGSTOP)
        await asyncio.to_thread(wait_for_event, cluster.gateway, "upstream_stalled")
        pace.fast()
        if stopped is cluster.tokenizer:
            stopped.signal(signal.SIGCONT)
        return await load


def _assert_whole(histories: list[History], expected: Callable[[LoadRequest], Expected]) -> None:
    broken = violations(histories, Promise(max_s=60, expected=expected, has_canaries=True))
    assert not broken, "\n".join(broken[:10])
    assert all(history.end is End.DONE for history in histories)


async def test_the_streams_of_a_stopped_engine_go_on_at_the_other_one(
    demo_dir: Path, sockets: Path, pace: Pace
) -> None:
    """And when it runs again it has none of them, and is asked again."""
    with Cluster(
        demo_dir, sockets, num_engines=2, engine=FAKE, gateway=GATEWAY, pace=pace
    ) as cluster:
        expected = await _whole(cluster.target)
        stopped = cluster.engines[0]
        histories = await _stopped_under_load(cluster, pace, stopped, count(12, 100))
        _assert_whole(histories, expected)
        stopped.signal(signal.SIGCONT)
        await asyncio.to_thread(cluster.wait_until_idle)
        returned = {"event": "upstream", "ready": True}
        await asyncio.to_thread(
            eventually,
            lambda: sum(returned.items() <= event.items() for event in cluster.gateway.events) > 3,
            cluster.gateway.told,
        )


async def test_text_goes_on_when_a_stopped_tokenizer_service_does(
    demo_dir: Path, sockets: Path, pace: Pace
) -> None:
    with Cluster(demo_dir, sockets, engine=FAKE, gateway=GATEWAY, pace=pace) as cluster:
        expected = await _whole(cluster.target)
        histories = await _stopped_under_load(cluster, pace, cluster.tokenizer, count(12, 100))
        _assert_whole(histories, expected)
        await asyncio.to_thread(cluster.wait_until_idle)
