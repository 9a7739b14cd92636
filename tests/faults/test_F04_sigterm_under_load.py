"""F-04: SIGTERM to each service under load. P5: a drain loses no stream shorter than the grace.

What has begun ends whole; what comes later is refused with its reason; the process ends with 0.
"""

import asyncio
import signal
from pathlib import Path

import pytest

from steeple_cli.load.history import End
from steeple_cli.load.loops import closed_loop
from tests.support.cluster import Cluster, load_of
from tests.support.deployment import Service
from tests.support.fault_counts import count
from tests.support.traffic import assert_kept, callers, echoes
from tests.support.waiting import eventually

REFUSALS = (
    *("DRAINING", "ENGINE_NOT_READY", "ENGINE_LOST", "TOKENIZER_NOT_READY", "TOKENIZER_LOST"),
    # The gateway's port is closed: grpc's own word.
    "UNAVAILABLE",
)


def _service(cluster: Cluster, which: str) -> Service:
    return {
        "gateway": cluster.gateway,
        "tokenizer": cluster.tokenizer,
        "engine": cluster.engines[0],
    }[which]


@pytest.mark.parametrize("which", ["gateway", "tokenizer", "engine"])
async def test_a_drain_under_load_loses_no_stream(
    demo_dir: Path, sockets: Path, which: str
) -> None:
    # Nobody comes back here: what is refused is not held for long.
    short = ["--takeover-timeout-s=2"]
    with (
        Cluster(demo_dir, sockets, gateway=short) as cluster,
        cluster.engine_stub() as stub,
    ):
        service = _service(cluster, which)
        async with callers(cluster.target, num_connections=2) as sending:
            requests = echoes(count(60, 600), max_tokens=30)
            load = asyncio.create_task(closed_loop(sending.send, requests, num_callers=12))
            await asyncio.to_thread(eventually, lambda: load_of(stub).num_output_tokens > 50)
            service.signal(signal.SIGTERM)
            histories = await load
        assert_kept(histories, *REFUSALS, max_s=35)
        assert not [h.error for h in histories if h.end is End.FAILED and h.num_tokens]
        assert {h.end for h in histories} == {End.DONE, End.FAILED}
        assert await asyncio.to_thread(service.wait) == 0
