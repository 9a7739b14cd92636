"""`python -m tests.soak [--minutes 10] [--seed 1]`: ends 0 if every promise was kept.

Two engines, one tokenizer service, one gateway that lives through it all. Every 20 s something
happens to one of them. Every stream is recorded and judged; at the end the gateway must hold what
it held after the warm-up, and every block of the engines must be free or cached.
"""

import argparse
import asyncio
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory

from steeple_cli.load.figures import figures
from steeple_cli.load.history import History
from steeple_cli.load.loops import closed_loop, while_time
from steeple_cli.load.sample import sample_of
from steeple_demo import model_dir
from tests.soak.books import Book, book_of, differences
from tests.soak.faults import FAULTS, TOKENIZER_KILLED
from tests.soak.mix import EXPECTED_FAILURES, TIMEOUT_S, kind_of, mixed
from tests.support.cluster import Cluster
from tests.support.guarantees import Promise, violations
from tests.support.traffic import callers

ENGINE = (
    *("--runner=fake", "--fake-step-ms=5", "--max-num-seqs=16", "--max-num-batched-tokens=64"),
    *("--kv-cache-bytes=32768", "--step-deadline-s=2", "--grace-s=2"),
)
GATEWAY = ("--metrics-listen=127.0.0.1:0",)
NUM_CALLERS = 24
FAULT_EVERY_S = 20.0
WARM_UP_S = 15.0
ALLOWED = frozenset({"QUEUE_FULL"})
WITHOUT_TOKENIZER = frozenset({"TOKENIZER_NOT_READY"})
"""There is one tokenizer service: who comes while it is started again is refused at once."""


class Soak:
    """One run.

    Args:
        cluster: serving.
        seed: of traffic and faults.
    """

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self._cluster = cluster
        self._draw = random.Random(seed)  # noqa: S311 - faults, not cryptography
        self._requests = mixed(seed)
        self.happened: Counter[str] = Counter()
        self.histories: list[History] = []
        self.outages: list[tuple[float, float]] = []
        """When the tokenizer service was away, on the callers' clock."""
        self.before: Book | None = None

    async def run(self, seconds: float) -> None:
        """Warm up, then traffic and faults, then quiet."""
        await self._traffic(WARM_UP_S)
        await asyncio.to_thread(self._cluster.wait_until_idle)
        self.before = book_of(self._cluster)
        happening = asyncio.create_task(self._faults())
        try:
            await self._traffic(seconds)
        finally:
            happening.cancel()
            await asyncio.gather(happening, return_exceptions=True)
        await asyncio.to_thread(self._cluster.wait_until_ready)
        await asyncio.to_thread(self._cluster.wait_until_idle)

    async def _traffic(self, seconds: float) -> None:
        clock = asyncio.get_running_loop().time
        requests = while_time(self._requests, clock, clock() + seconds)
        async with callers(self._cluster.target, num_connections=4) as sending:
            self.histories += await closed_loop(sending.send, requests, num_callers=NUM_CALLERS)

    async def _faults(self) -> None:
        while True:
            await asyncio.sleep(FAULT_EVERY_S)
            name = self._draw.choice(sorted(FAULTS))
            self.happened[name] += 1
            print(f"{time.strftime('%H:%M:%S')} {name}", flush=True)
            await asyncio.shield(self._fault(name))

    async def _fault(self, name: str) -> None:
        clock = asyncio.get_running_loop().time
        begin_s = clock()
        if name == TOKENIZER_KILLED:
            self.outages.append((begin_s, math.inf))
        await asyncio.to_thread(FAULTS[name], self._cluster, self._draw)
        if name == TOKENIZER_KILLED:
            await asyncio.to_thread(self._cluster.wait_until_ready)
            self.outages[-1] = (begin_s, clock())


def broken_promises(
    histories: Sequence[History], outages: Sequence[tuple[float, float]]
) -> list[str]:
    """What any stream did that it must not; each kind may fail as it must.

    Args:
        histories: all of them.
        outages: when requests were refused for want of the tokenizer service.
    """
    told = []
    groups: dict[tuple[str, bool], list[History]] = {}
    for history in histories:
        is_out = any(_meets(history, begin, end) for begin, end in outages)
        groups.setdefault((kind_of(history.request), is_out), []).append(history)
    for (kind, is_out), some in sorted(groups.items(), key=itemgetter(0)):
        allowed = ALLOWED | EXPECTED_FAILURES.get(kind, frozenset())
        promise = Promise(
            allowed=allowed | WITHOUT_TOKENIZER if is_out else allowed,
            max_s=TIMEOUT_S + 2,
            has_canaries=True,
        )
        told += violations(some, promise)
    return told


def _meets(history: History, begin_s: float, end_s: float) -> bool:
    """Whether a request that got nothing was under way in an outage, or came in it.

    One sent a moment before it is refused as those after it; one that has begun goes on.
    """
    return not history.events and begin_s <= history.ended_s and history.sent_s <= end_s


async def soak(minutes: float, seed: int) -> int:
    """Run and report; the exit status."""
    with (
        TemporaryDirectory(prefix="steeple-") as directory,
        Cluster(
            model_dir(), Path(directory), num_engines=2, engine=ENGINE, gateway=GATEWAY
        ) as cluster,
    ):
        run = Soak(cluster, seed)
        await run.run(60 * minutes)
        await asyncio.sleep(2)
        after = book_of(cluster)
    assert run.before is not None
    broken = broken_promises(run.histories, run.outages)
    lost = differences(run.before, after)
    told = figures([sample_of(history) for history in run.histories])
    print(f"{len(run.histories)} requests, {dict(run.happened)}")
    print(told.counts)
    print(f"{told.rates.tokens_per_s:.0f} tokens/s; {told.latencies}")
    print(f"gateway before {run.before}; after {after}")
    print(f"{len(broken)} broken promises, {len(lost)} things not given back")
    for line in [*broken[:50], *lost]:
        print(f"  {line}")
    return 1 if broken or lost else 0


def main() -> int:
    """Read the command line and soak."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    return asyncio.run(soak(given.minutes, given.seed))


if __name__ == "__main__":
    sys.exit(main())
