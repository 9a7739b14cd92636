"""Whatever takes an engine away, whenever: every kind of stream goes on with the same tokens.

{killed, core killed, core stopped, service stopped, core raises, told to stop}
x {prefill, decode, last token} x {greedy, seeded, logprobs, stop strings, penalties}
x {two engines, one that is started again}
"""

import asyncio
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from steeple_client import FinishReason, GenerateOptions
from steeple_demo import model_dir
from tests.support.cluster import Cluster, load_of
from tests.support.deployment import Service, wait_for_event
from tests.support.fault_counts import is_full
from tests.support.resumed import KINDS, MAX_TOKENS, Answer, all_kinds, read, read_all
from tests.support.waiting import eventually

ENGINE = (
    *("--runner=fake", "--fake-reply=sampled", "--fake-step-ms=10", "--max-num-seqs=8"),
    *("--max-num-batched-tokens=32", "--grace-s=0.1", "--step-deadline-s=1"),
)
GATEWAY = ("--upstream-stall-s=2",)
PROMPT = "tell me more about it, at some length and in plain words. " * 6
Take = Callable[[Service], None]


def _core(engine: Service) -> psutil.Process:
    children = psutil.Process(engine.process.pid).children()
    (core,) = [child for child in children if "engine_svc.core" in child.cmdline()]
    return core


def _kill(engine: Service) -> None:
    engine.signal(signal.SIGKILL)


def _kill_core(engine: Service) -> None:
    _core(engine).kill()


def _stop_core(engine: Service) -> None:
    _core(engine).suspend()


def _stop_service(engine: Service) -> None:
    engine.signal(signal.SIGSTOP)


def _tell_to_stop(engine: Service) -> None:
    engine.signal(signal.SIGTERM)


FAULTS: dict[str, Take] = {
    "killed": _kill,
    "core killed": _kill_core,
    "core stopped": _stop_core,
    "service stopped": _stop_service,
    "told to stop": _tell_to_stop,
}

ENDS_THE_SERVICE = ("killed", "told to stop")


@pytest.fixture(scope="module", params=[2, 1], ids=["two engines", "one engine"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    num_engines: int = request.param
    with (
        TemporaryDirectory(prefix="steeple-") as directory,
        Cluster(
            model_dir(), Path(directory), num_engines=num_engines, engine=ENGINE, gateway=GATEWAY
        ) as started,
    ):
        yield started


def _busy(cluster: Cluster) -> list[int]:
    """Engines that run something."""
    found = []
    for index in range(len(cluster.engines)):
        with cluster.engine_stub(index) as stub:
            found += [index] * (load_of(stub).num_running > 0)
    return found


def _a_busy_one(cluster: Cluster, is_over: Callable[[], bool]) -> int:
    """Waits until an engine runs something; the first one if all is over already."""
    found: list[int] = []

    def is_found() -> bool:
        found.extend(_busy(cluster) or [0] * is_over())
        return bool(found)

    eventually(is_found)
    return found[0]


def _num_stalls(cluster: Cluster) -> int:
    return cluster.gateway.names().count("upstream_stalled")


class _Moment:
    """Set once the streams are where the fault is wanted."""

    def __init__(self, phase: str) -> None:
        self._wanted = {"prefill": None, "decode": 8, "last token": MAX_TOKENS - 1}[phase]
        self._reached = asyncio.Event()

    def note(self, num_tokens: int) -> None:
        if self._wanted is not None and num_tokens >= self._wanted:
            self._reached.set()

    async def wait(self, cluster: Cluster, is_over: Callable[[], bool]) -> int:
        """Return then; tells an engine that runs some of the streams."""
        if self._wanted is not None:
            await self._reached.wait()
        return await asyncio.to_thread(_a_busy_one, cluster, is_over)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Quiet:
    """What is asked, and what the answers are when nothing happens."""

    kinds: Mapping[str, GenerateOptions]
    answers: Mapping[str, Answer]


@pytest.fixture(scope="module")
def quiet(cluster: Cluster) -> _Quiet:
    async def ask() -> _Quiet:
        kinds = await all_kinds(cluster.target, PROMPT)
        answers = await read_all(cluster.target, PROMPT, kinds, cache_salt="quiet")
        return _Quiet(kinds=kinds, answers=answers)

    told = asyncio.run(ask())
    stopped = told.answers["stop"].finished
    assert stopped is not None
    assert stopped.reason is FinishReason.STOP_STRING
    return told


@pytest.mark.parametrize("phase", ["prefill", "decode", "last token"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_stream_goes_on_as_if_nothing_had_happened(
    cluster: Cluster, quiet: _Quiet, fault: str, phase: str
) -> None:
    if len(cluster.engines) == 1 and phase != "decode" and not is_full():
        pytest.skip("seconds of starting again: run it with make faults")
    moment = _Moment(phase)
    asked = read_all(
        cluster.target, PROMPT, quiet.kinds, moment.note, cache_salt=f"{fault} {phase}"
    )
    reading = asyncio.create_task(asked)
    index = await moment.wait(cluster, reading.done)
    num_stalls = _num_stalls(cluster)
    FAULTS[fault](cluster.engines[index])
    if fault == "service stopped":
        # Near its end every stream may have all that it needs, and nobody misses the engine.
        await asyncio.to_thread(
            eventually, lambda: reading.done() or _num_stalls(cluster) > num_stalls
        )
        cluster.engines[index].signal(signal.SIGCONT)
    if fault in ENDS_THE_SERVICE:
        await asyncio.to_thread(cluster.engines[index].process.wait, 30)
        await asyncio.to_thread(cluster.replace_engine, index)
    resumed = await reading
    for kind, answer in quiet.answers.items():
        assert resumed[kind].told() == answer.told(), kind
    await asyncio.to_thread(cluster.wait_until_ready)
    await asyncio.to_thread(cluster.wait_until_idle)


async def test_a_core_that_raises_is_replaced_under_its_stream(sockets: Path) -> None:
    """Every step from the 30th on raises, and so does the probe: nobody is guilty but the core."""
    raising = ("--fake-failure=raise", "--fake-failure-step=30", "--fake-failure-lasts")
    with Cluster(model_dir(), sockets, engine=(*ENGINE, *raising)) as cluster:
        resumed = await read(cluster.target, PROMPT, KINDS["penalties"])
        await asyncio.to_thread(wait_for_event, cluster.engines[0], "core_lost")
    with Cluster(model_dir(), sockets, engine=ENGINE) as cluster:
        whole = await read(cluster.target, PROMPT, KINDS["penalties"])
    assert resumed.told() == whole.told()
