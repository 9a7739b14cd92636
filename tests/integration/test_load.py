"""The load through the gateway's public port, of real processes at work."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from steeple_client import Client, Load
from steeple_rpc.errors import Unavailable
from tests.support.deployment import Deployment
from tests.support.waiting import eventually

NUM_STREAMS = 3


@contextmanager
def answers_under_way(client: Client) -> Iterator[None]:
    """So many answers that come all along."""
    streams = [
        client.generate_stream("hello world", max_tokens=900, ignore_eos=True)
        for _ in range(NUM_STREAMS)
    ]
    readers = [threading.Thread(target=list, args=(stream,)) for stream in streams]
    for reader in readers:
        reader.start()
    try:
        yield
    finally:
        for stream in streams:
            stream.cancel()
        for reader in readers:
            reader.join()


def is_busy(load: Load) -> bool:
    """Whether all answers run, and rates are known."""
    (engine,), (model,) = load.engines, load.models
    work = engine.work
    return (
        model.num_live == NUM_STREAMS
        and model.time_to_first_token.count >= NUM_STREAMS
        and model.inter_token.count > 0
        and work is not None
        and work.num_running == NUM_STREAMS
        and work.output_tokens_per_s > 0
    )


def busy_load(client: Client) -> Load:
    """The first load that tells of all of them."""
    seen: list[Load] = []

    def is_seen() -> bool:
        seen[:] = [client.load()]
        return is_busy(seen[0])

    eventually(is_seen)
    return seen[0]


def test_answers_under_way_are_seen_with_their_blocks_and_times(slow: Deployment) -> None:
    """A step takes 25 ms, and every answer gets a token of each."""
    with Client(slow.target) as client:
        with answers_under_way(client):
            load = busy_load(client)
            # Coalesced tokens share their time; none can come faster than steps are run. After a
            # halt the gateway reads at once what has gathered, so not every moment is like that.
            eventually(lambda: client.load().models[0].inter_token.p90_s >= 0.0225)
        work, (model,) = load.engines[0].work, load.models
        assert work is not None
        blocks = (work.num_free_blocks, work.num_used_blocks, work.num_cached_blocks)
        assert sum(blocks) == work.num_total_blocks
        assert work.num_used_blocks >= NUM_STREAMS
        assert model.num_permits >= model.num_live == NUM_STREAMS
        eventually(lambda: client.load().models[0].num_live == 0)


def test_a_model_tells_how_long_it_took_to_load(fake: Deployment, real: Deployment) -> None:
    """Weights take longer than none."""
    told = []
    for deployment in (fake, real):
        with Client(deployment.target) as client:
            (engine,) = client.model().engines
            told.append((engine.runner, engine.load_s))
    assert [runner for runner, _ in told] == ["fake", "fms"]
    assert 0 < told[0][1] < told[1][1] < 60


def test_whoever_watches_does_not_hold_up_the_end(demo_dir: Path) -> None:
    """Without that, a screen would keep a gateway draining for its whole grace."""
    with Deployment(demo_dir, engine=["--runner=fake"], gateway=["--grace-s=60"]) as deployment:
        assert deployment.gateway is not None
        with Client(deployment.target) as client:
            watch = client.watch_load(60.0)
            next(watch)
            begin = time.monotonic()
            deployment.gateway.signal(signal.SIGTERM)
            with pytest.raises(Unavailable) as caught:
                next(watch)
            assert caught.value.reason == "DRAINING"
            assert deployment.gateway.wait() == 0
            assert time.monotonic() - begin < 30
