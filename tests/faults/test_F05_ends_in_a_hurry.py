"""F-05: SIGTERM twice, SIGTERM during warm-up, SIGKILL during a drain.

Nobody waits for long; no process, socket or lock is left that keeps the next start from working.
"""

import signal
import time
from pathlib import Path

import psutil
import pytest

from steeple_client import Client, TextDelta
from tests.support.cluster import FAKE, Cluster
from tests.support.deployment import Service, wait_for_event
from tests.support.fault_counts import limit_s
from tests.support.lone_engine import LoneEngine, assert_gone, core_of

HURRIED_S = limit_s(1.0)
SLOW = ("--runner=fake", "--fake-step-ms=50", "--max-num-seqs=8")
"""900 tokens take longer than the grace, 30 s: nobody ends by himself while it is measured."""
SERVICES = ["gateway", "tokenizer", "engine"]


def _service(cluster: Cluster, which: str) -> Service:
    services = {
        "gateway": cluster.gateway,
        "tokenizer": cluster.tokenizer,
        "engine": cluster.engines[0],
    }
    return services[which]


@pytest.mark.parametrize("which", SERVICES)
def test_a_second_sigterm_ends_the_service_within_a_second(
    demo_dir: Path, sockets: Path, which: str
) -> None:
    """Status 0, under a stream that would go on for long; no child is left."""
    with Cluster(demo_dir, sockets, engine=SLOW) as cluster, Client(cluster.target) as client:
        service = _service(cluster, which)
        children = psutil.Process(service.process.pid).children(recursive=True)
        events = client.generate_stream("hello", max_tokens=900)
        assert any(isinstance(event, TextDelta) for event in events)
        service.signal(signal.SIGTERM)
        wait_for_event(service, "draining")
        begin = time.monotonic()
        service.signal(signal.SIGTERM)
        assert service.wait() == 0
        assert time.monotonic() - begin <= HURRIED_S
        for child in children:
            assert_gone(child)


def test_a_leftover_stream_is_told_that_the_engine_drains(demo_dir: Path) -> None:
    """What is longer than the grace ends UNAVAILABLE/DRAINING, with all that it had."""
    with LoneEngine(demo_dir, *SLOW, "--grace-s=0.5") as engine:
        stream = engine.stream(5, 6, 7, max_tokens=900)
        stream.wait_for_tokens(3)
        begin = time.monotonic()
        engine.service.signal(signal.SIGTERM)
        assert stream.reason == "DRAINING"
        assert engine.service.wait() == 0
        assert time.monotonic() - begin <= 0.5 + HURRIED_S
        assert stream.tokens == ([5, 6, 7] * 300)[: len(stream.tokens)]


def test_sigterm_during_warm_up_ends_at_once(demo_dir: Path) -> None:
    """The core hears nothing and is killed; status 0, for nothing was wrong."""
    script = ("--fake-failure=hang", "--fake-failure-step=0")
    service = Service("engine_svc", [f"--model={demo_dir}", *FAKE, *script])
    try:
        core = core_of(service)
        wait_for_event(service, "loading")
        begin = time.monotonic()
        service.signal(signal.SIGTERM)
        assert service.wait() == 0
        assert time.monotonic() - begin <= HURRIED_S
        assert_gone(core)
    finally:
        service.stop()


@pytest.mark.parametrize("is_stuck", [False, True])
def test_an_engine_that_is_killed_while_it_drains_leaves_nothing(
    demo_dir: Path, sockets: Path, *, is_stuck: bool
) -> None:
    """No core, not even one that is stopped; the next start finds its socket free."""
    listen = f"unix:{sockets}/e"
    with LoneEngine(demo_dir, *SLOW, listen=listen) as engine:
        core = engine.core
        engine.stream(5, 6, 7, max_tokens=900).wait_for_tokens(3)
        engine.service.signal(signal.SIGTERM)
        wait_for_event(engine.service, "draining")
        if is_stuck:
            core.send_signal(signal.SIGSTOP)
        engine.service.signal(signal.SIGKILL)
        assert_gone(core)
    with LoneEngine(demo_dir, listen=listen) as again:
        assert again.answer(5, 6, max_tokens=3) == [5, 6, 5]


@pytest.mark.parametrize("which", ["gateway", "tokenizer"])
def test_a_service_that_is_killed_while_it_drains_can_start_again(
    demo_dir: Path, sockets: Path, which: str
) -> None:
    """Where it was, without its children."""
    with Cluster(demo_dir, sockets, engine=SLOW) as cluster, Client(cluster.target) as client:
        service = _service(cluster, which)
        children = psutil.Process(service.process.pid).children(recursive=True)
        events = client.generate_stream("hello", max_tokens=900)
        assert any(isinstance(event, TextDelta) for event in events)
        service.signal(signal.SIGTERM)
        wait_for_event(service, "draining")
        service.signal(signal.SIGKILL)
        for child in children:
            assert_gone(child)
        if which == "tokenizer":
            cluster.replace_tokenizer()
            cluster.wait_until_ready()
            assert client.generate("hello", max_tokens=3).text
