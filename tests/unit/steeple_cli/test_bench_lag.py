"""A generator that is busy or late knows it."""

import asyncio
import time

from steeple_cli.benching.lag import LATE_S, PERIOD_S, Generator, watched
from steeple_cli.load.percentiles import Percentiles

ON_TIME = Percentiles(p50=0.0, p90=0.0, p95=0.0, p99=LATE_S)


async def test_a_loop_that_was_held_up_is_late() -> None:
    async with watched() as watch:
        await asyncio.sleep(0)  # the watch looks at the clock for the first time
        time.sleep(PERIOD_S + 2 * LATE_S)  # noqa: ASYNC251 - holding it up is the point
        await asyncio.sleep(PERIOD_S)
        seen = watch.seen()
    assert seen.lag_s is not None
    assert seen.lag_s.p99 >= 2 * LATE_S
    assert seen.is_bottleneck


class _Clocks:
    """What passes on them from now on."""

    def __init__(self) -> None:
        self._started_s, self._cpu_s = time.monotonic(), time.thread_time()

    def passed(self) -> tuple[float, float]:
        """Seconds, and those of them in which this thread computed."""
        return time.monotonic() - self._started_s, time.thread_time() - self._cpu_s


async def test_a_loop_is_busy_while_it_computes_and_not_while_it_waits() -> None:
    """No less than within it, no more than around it, wherever this thread stands still."""
    around = _Clocks()
    async with watched() as watch:
        within = _Clocks()
        while within.passed()[1] < 0.02:
            pass
        await asyncio.sleep(0.05)
        least_s, least_cpu_s = within.passed()
        seen = watch.seen()
        most_s, most_cpu_s = around.passed()
    assert 0.0 < least_cpu_s / most_s <= seen.busy_share <= most_cpu_s / least_s


def test_it_is_the_bottleneck_where_it_is_too_late_or_too_busy() -> None:
    late = Percentiles(p50=0.0, p90=0.0, p95=0.0, p99=LATE_S * 1.01)
    assert not Generator(lag_s=ON_TIME, busy_share=0.9).is_bottleneck
    assert Generator(lag_s=late, busy_share=0.1).is_bottleneck
    assert Generator(lag_s=ON_TIME, busy_share=0.91).is_bottleneck
    assert not Generator(lag_s=None, busy_share=0.0).is_bottleneck
