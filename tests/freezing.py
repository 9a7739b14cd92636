"""`python -m tests.freezing [--seed 1] [PYTEST'S ARGUMENTS]`: the tests on a machine that stalls.

While pytest runs, the processes below it stand still for a moment now and then, all of them or
some: what a busy machine does to them, many times as often. A test that fails here took for granted
an order of events that is only likely. Ends as pytest does.

A test that stops a process by itself may find it running again, if it was frozen just then.
"""

import argparse
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psutil

EVERY_S = 5.0
"""On average."""
SHORTEST_S, LONGEST_S = 0.2, 1.5
SOME = 4
"""Where not all are frozen: one in so many."""


def run(arguments: Sequence[str], seed: int) -> int:
    """Pytest's exit status.

    Args:
        arguments: pytest's.
        seed: of what is frozen, and when.
    """
    draw = random.Random(seed)  # noqa: S311 - faults, not cryptography
    num_times = 0
    with subprocess.Popen([sys.executable, "-m", "pytest", *arguments]) as pytest:
        while not _has_ended(pytest, draw.expovariate(1 / EVERY_S)):
            with frozen(_drawn(psutil.Process(pytest.pid), draw)):
                _has_ended(pytest, draw.uniform(SHORTEST_S, LONGEST_S))
            num_times += 1
    sys.stdout.write(f"frozen {num_times} times (seed {seed})\n")
    return pytest.returncode


def _has_ended(process: subprocess.Popen[bytes], within_s: float) -> bool:
    with suppress(subprocess.TimeoutExpired):
        process.wait(within_s)
    return process.returncode is not None


def _drawn(root: psutil.Process, draw: random.Random) -> list[psutil.Process]:
    below: list[psutil.Process] = root.children(recursive=True)
    return below if draw.random() < 0.5 else draw.sample(below, -(-len(below) // SOME))


@contextmanager
def frozen(processes: Sequence[psutil.Process]) -> Iterator[None]:
    """For the block; who stands still already is left alone."""
    stopped = [process for process in processes if _freeze(process)]
    try:
        yield
    finally:
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def _freeze(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        if process.status() != psutil.STATUS_STOPPED:
            process.suspend()
            return True
    return False


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    known, others = parser.parse_known_args()
    sys.exit(run(others, known.seed))
