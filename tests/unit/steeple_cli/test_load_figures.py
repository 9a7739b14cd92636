"""Figures are sums over what callers saw, and nothing else."""

import pytest

from steeple_cli.load.figures import LatencyBound, Window, figures
from steeple_cli.load.history import End
from steeple_cli.load.percentiles import Percentiles
from tests.support.samples import sample

DONE = sample(2.0, 3.0, counts=[1, 3])
REFUSED = sample(end=End.FAILED, reason="QUEUE_FULL", is_refused=True, start_s=4.0)
FAILED = sample(1.0, end=End.FAILED, reason="ENGINE_LOST")
LEFT = sample(5.0, end=End.LEFT, start_s=3.0)


def test_each_end_is_counted_by_its_kind() -> None:
    told = figures([DONE, REFUSED, FAILED, LEFT]).counts
    assert (told.num_sent, told.num_done, told.num_left) == (4, 1, 1)
    assert (told.num_refused, told.refusals) == (1, {"QUEUE_FULL": 1})
    assert (told.num_failed, told.failures) == (1, {"ENGINE_LOST": 1})


def test_rates_are_over_the_span_from_the_first_request_to_the_last_end() -> None:
    told = figures([DONE, REFUSED, LEFT]).rates
    assert (told.window_s, told.requests_per_s, told.tokens_per_s) == (5.0, 0.2, 0.8)
    assert told.prompt_tokens_per_s == 1.2


def test_rates_count_what_came_within_the_window_whoever_asked_for_it() -> None:
    """The tail of the warm-up counts, the tail of what was sent last does not."""
    samples = [
        sample(1.0, 11.0, is_warm_up=True),
        sample(12.0, 13.0, 14.0, start_s=10.0),
        sample(19.0, 21.0, start_s=18.0),
    ]
    told = figures(samples, window=Window(start_s=10.0, end_s=20.0))
    assert told.rates.requests_per_s == 0.2  # the warm-up's end and the first
    assert told.rates.tokens_per_s == 0.5
    assert told.rates.prompt_tokens_per_s == 0.6
    assert (told.counts.num_done, told.tokens.num_output_tokens) == (2, 5)
    assert told.latencies.ttft_s == Percentiles(p50=1.0, p90=2.0, p95=2.0, p99=2.0)


def test_warm_up_is_not_judged() -> None:
    told = figures([sample(9.0, is_warm_up=True), DONE])
    assert told == figures([DONE], window=Window(start_s=0.0, end_s=3.0))


@pytest.mark.parametrize(
    ("ttft_s", "itl_s", "good"),
    [(2, 0.5, 1), (1.9, 9, 0), (9, 0.4, 0), (None, 0.5, 1), (2, None, 1), (1.9, None, 0)],
)
def test_goodput_counts_what_keeps_both_bounds(
    ttft_s: float | None, itl_s: float | None, good: int
) -> None:
    told = figures([DONE, REFUSED], bound=LatencyBound(ttft_s=ttft_s, itl_s=itl_s)).rates
    assert told.goodput_per_s == good / told.window_s
    assert told.good_share == good / 2


def test_without_a_bound_there_is_no_goodput() -> None:
    assert figures([DONE]).rates.goodput_per_s is None


def test_coalesced_messages_show_in_tokens_per_message_and_in_gaps() -> None:
    """Three tokens in two messages: their readers saw one gap of a second."""
    told = figures([DONE])
    assert told.tokens.tokens_per_message == 1.5
    assert told.latencies.itl_s == Percentiles(p50=0.5, p90=0.5, p95=0.5, p99=0.5)
    assert told.latencies.gap_s == Percentiles(p50=1.0, p90=1.0, p95=1.0, p99=1.0)


def test_latencies_count_from_the_schedule_and_tell_how_late_the_sending_was() -> None:
    told = figures([sample(5.0, start_s=1.0, sent_s=4.0)]).latencies
    assert told.ttft_s == Percentiles(p50=4.0, p90=4.0, p95=4.0, p99=4.0)
    assert told.sent_late_s == Percentiles(p50=3.0, p90=3.0, p95=3.0, p99=3.0)


def test_latencies_nobody_saw_are_none() -> None:
    told = figures([REFUSED]).latencies
    assert (told.ttft_s, told.itl_s, told.tpot_s, told.total_s) == (None, None, None, None)
    assert told.failed_after_s is not None
    assert told.failed_after_s.p99 == 1.0
