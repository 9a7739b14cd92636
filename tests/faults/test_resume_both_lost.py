"""Engine and tokenizer service are lost at once: neither way back waits for the other's."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from steeple_demo import model_dir
from tests.support.cluster import Cluster
from tests.support.pace import Pace
from tests.support.resumed import all_kinds, read_all
from tests.support.waiting import eventually

ENGINE = (
    *("--runner=fake", "--fake-reply=sampled", "--fake-step-ms=1", "--max-num-seqs=8"),
    "--max-num-batched-tokens=32",
)
GATEWAY = ("--upstream-stall-s=1",)
PROMPT = "tell me more about it, at some length and in plain words. "
NUM_BEFORE = 5
"""Tokens of one stream that have come when it happens."""


def _kill(cluster: Cluster) -> None:
    """The replacements come one after the other."""
    for service in (cluster.engines[0], cluster.tokenizer):
        service.signal(signal.SIGKILL)
    cluster.replace_engine()
    cluster.replace_tokenizer()


def _stop(cluster: Cluster) -> None:
    """Until the gateway misses both."""
    both = (cluster.engines[0], cluster.tokenizer)
    for service in both:
        service.signal(signal.SIGSTOP)
    eventually(lambda: len(_missed(cluster)) == len(both), cluster.told)
    for service in both:
        service.signal(signal.SIGCONT)


def _missed(cluster: Cluster) -> set[str]:
    """Which services answered nothing for a while."""
    events = cluster.gateway.events
    return {str(e["upstream"]) for e in events if e["event"] == "upstream_stalled"}


@pytest.mark.parametrize("lose", [_kill, _stop], ids=["killed", "stopped"])
async def test_every_kind_of_stream_goes_on_when_both_are_back(
    sockets: Path, pace: Pace, lose: Callable[[Cluster], None]
) -> None:
    with Cluster(model_dir(), sockets, engine=ENGINE, gateway=GATEWAY, pace=pace) as cluster:
        kinds = await all_kinds(cluster.target, PROMPT)
        whole = await read_all(cluster.target, PROMPT, kinds, cache_salt="whole")
        has_begun = asyncio.Event()

        def note(num_tokens: int) -> None:
            if num_tokens >= NUM_BEFORE:
                has_begun.set()

        pace.slow()
        asked = read_all(cluster.target, PROMPT, kinds, note, cache_salt="cut")
        reading = asyncio.create_task(asked)
        await has_begun.wait()
        assert not reading.done()
        await asyncio.to_thread(lose, cluster)
        pace.fast()
        cut = await reading
        for kind, answer in whole.items():
            assert cut[kind].told() == answer.told(), kind
        await asyncio.to_thread(cluster.wait_until_idle)
