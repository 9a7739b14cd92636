"""The last seconds: what is in the window, and how exact percentiles of counted times are."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sliding import Latency, SlidingSlots, TimeCounts, latency_of
from steeple_cli.load.percentiles import percentiles


def counted(*times: float) -> TimeCounts:
    counts = TimeCounts()
    for time_s in times:
        counts.add(time_s)
    return counts


def test_what_is_older_than_the_window_is_forgotten() -> None:
    slots = SlidingSlots[list[str]](list, num_slots=3, slot_s=2.0)
    slots.at(0.5).append("old")
    slots.at(1.9).append("old too")
    slots.at(2.0).append("new")
    assert slots.within(5.9) == [["old", "old too"], ["new"]]
    assert slots.within(6.0) == [["new"]]
    assert slots.within(8.0) == []


def test_memory_is_bounded_by_the_slots() -> None:
    slots = SlidingSlots[list[int]](list, num_slots=3, slot_s=1.0)
    for second in range(1000):
        slots.at(float(second)).append(second)
    assert slots.within(999.0) == [[997], [998], [999]]


def test_the_window_reaches_back_to_the_start_of_its_oldest_slot() -> None:
    slots = SlidingSlots[list[int]](list, num_slots=10, slot_s=1.0)
    assert slots.window_s(40.25) == pytest.approx(9.25)


def test_nothing_seen_is_all_zero() -> None:
    assert latency_of([]) == latency_of([TimeCounts()]) == Latency()


@given(st.lists(st.floats(min_value=1e-6, max_value=1e4), min_size=1, max_size=200))
def test_percentiles_are_exact_to_five_per_cent(times: list[float]) -> None:
    """Against the nearest rank over all values, however they are spread over slots."""
    half = len(times) // 2
    found = latency_of([counted(*times[:half]), counted(*times[half:])])
    true = percentiles(times)
    assert true is not None
    assert found.count == len(times)
    for got, wanted in ((found.p50_s, true.p50), (found.p90_s, true.p90), (found.p99_s, true.p99)):
        assert got == pytest.approx(wanted, rel=0.05)


def test_a_time_counts_as_often_as_is_said() -> None:
    """Nine tokens of one delta outweigh one slow token."""
    counts = TimeCounts()
    counts.add(0.01, 9)
    counts.add(5.0)
    found = latency_of([counts])
    assert found.count == 10
    assert found.p50_s == found.p90_s == pytest.approx(0.01, rel=0.05)
    assert found.p99_s == pytest.approx(5.0, rel=0.05)


@pytest.mark.parametrize("odd", [0.0, -1.0, 1e300])
def test_odd_times_are_counted_at_the_ends(odd: float) -> None:
    assert latency_of([counted(odd)]).count == 1


def test_buckets_stay_few_however_many_times_there_are() -> None:
    draw = random.Random(1)  # noqa: S311 - not for secrets
    counts = TimeCounts()
    for _ in range(20_000):
        counts.add(10 ** draw.uniform(-7, 6))
    assert len(counts._counts) <= 270
