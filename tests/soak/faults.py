"""What can happen to a running cluster. Each fault undoes itself: afterwards everybody serves."""

import contextlib
import random
import signal
from collections.abc import Callable, Mapping

import psutil

from tests.support.cluster import Cluster
from tests.support.deployment import Service
from tests.support.processes import runs

Fault = Callable[[Cluster, random.Random], None]
STUCK_S = 10.0
WORKER = "tokenizer_svc.chat.template_worker"
TOKENIZER_KILLED = "tokenizer killed"


def _any_engine(cluster: Cluster, draw: random.Random) -> int:
    return draw.randrange(len(cluster.engines))


def _core(engine: Service) -> psutil.Process | None:
    """The engine's core; None while it is between two."""
    children = psutil.Process(engine.process.pid).children()
    return next((child for child in children if runs(child, "engine_svc.core")), None)


def _engine_killed(cluster: Cluster, draw: random.Random) -> None:
    cluster.replace_engine(_any_engine(cluster, draw))


def _engine_told_to_stop(cluster: Cluster, draw: random.Random) -> None:
    index = _any_engine(cluster, draw)
    engine = cluster.engines[index]
    engine.signal(signal.SIGTERM)
    assert engine.wait() == 0, engine.told()
    cluster.replace_engine(index)


def _core_killed(cluster: Cluster, draw: random.Random) -> None:
    core = _core(cluster.engines[_any_engine(cluster, draw)])
    if core is not None:
        core.kill()


def _core_stopped(cluster: Cluster, draw: random.Random) -> None:
    """The watchdog kills it when it has work; without work nobody is stuck, and it goes on."""
    core = _core(cluster.engines[_any_engine(cluster, draw)])
    if core is not None:
        core.suspend()
        with contextlib.suppress(psutil.TimeoutExpired):
            core.wait(STUCK_S)
        with contextlib.suppress(psutil.NoSuchProcess):
            core.resume()


def _tokenizer_killed(cluster: Cluster, _: random.Random) -> None:
    cluster.replace_tokenizer()


def _template_workers_killed(cluster: Cluster, _: random.Random) -> None:
    for child in psutil.Process(cluster.tokenizer.process.pid).children():
        if runs(child, WORKER):
            child.kill()


FAULTS: Mapping[str, Fault] = {
    "engine killed": _engine_killed,
    "engine told to stop": _engine_told_to_stop,
    "core killed": _core_killed,
    "core stopped": _core_stopped,
    TOKENIZER_KILLED: _tokenizer_killed,
    "template workers killed": _template_workers_killed,
}
