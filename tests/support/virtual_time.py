"""An event loop that never waits: where nothing can run, its clock jumps to the next timer.

Hours pass in milliseconds, and how busy the machine is decides nothing.
"""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine, Sequence
from typing import ParamSpec

P = ParamSpec("P")
TURN_S = 1e-6
"""What a turn of the loop takes: a clock that stood would hold up who polls it."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """For what is inside one process: nobody outside knows this time."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Jumps(self._jump))

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._now

    def _jump(self, seconds: float) -> None:
        self._now += seconds


class _Jumps(selectors.DefaultSelector):
    """Passes the time instead of waiting for it."""

    def __init__(self, jump: Callable[[float], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> Sequence[tuple[selectors.SelectorKey, int]]:  # type: ignore[override] # as its base says
        ready = super().select(0)
        self._jump(TURN_S if ready or timeout is None else max(timeout, TURN_S))
        assert ready or timeout is not None, "everybody waits, and nobody will come"
        return ready


def in_virtual_time(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """Run a test on a loop of its own whose clock jumps."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run
