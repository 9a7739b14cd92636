"""Figures are sums over what callers saw, and nothing else."""

import pytest

from steeple_cli.load.figures import LatencyBound, figures
from steeple_cli.load.history import End
from steeple_rpc.errors import Overloaded
from tests.support.histories import STARTED, delta, finished, history, usage

DONE = history(STARTED, delta("a", 1), delta("bc", 3), finished(), usage(3))
REFUSED = history(end=End.FAILED, error=Overloaded("full", reason="QUEUE_FULL"), sent_s=4.0)
LEFT = history(STARTED, delta("a", 1), end=End.LEFT, sent_s=3.0)


def test_the_first_token_counts_from_sending() -> None:
    assert DONE.ttft_s == 2.0


def test_tokens_that_come_together_share_the_gap() -> None:
    assert DONE.itl_s == [0.5, 0.5]


def test_each_end_is_counted_by_its_kind() -> None:
    told = figures([DONE, REFUSED, LEFT])
    assert (told.num_done, told.num_left, told.failures) == (1, 1, {"QUEUE_FULL": 1})


def test_rates_are_over_the_span_from_the_first_request_to_the_last_end() -> None:
    told = figures([DONE, REFUSED, LEFT])
    assert (told.span_s, told.requests_per_s, told.tokens_per_s) == (5.0, 0.2, 0.8)


@pytest.mark.parametrize(("ttft_s", "itl_s", "good"), [(2, 0.5, 1), (1.9, 9, 0), (9, 0.4, 0)])
def test_goodput_counts_what_keeps_both_bounds(ttft_s: float, itl_s: float, good: int) -> None:
    told = figures([DONE, REFUSED], LatencyBound(ttft_s=ttft_s, itl_s=itl_s))
    assert told.goodput_per_s == good / told.span_s


def test_latencies_nobody_saw_are_none() -> None:
    told = figures([REFUSED])
    assert (told.ttft_s, told.itl_s, told.total_s) == (None, None, None)
    assert told.failed_after_s is not None
    assert told.failed_after_s.p99 == 1.0
