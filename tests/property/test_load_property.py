"""Arithmetic of a load that must hold whatever came, and when."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from steeple_cli.load.figures import LatencyBound, Window, figures
from steeple_cli.load.percentiles import percentiles
from steeple_cli.load.sample import Sample
from tests.support.samples import sample

TIMES = st.integers(0, 1000).map(float)


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    """A request with some messages of some tokens each, after its start."""
    start_s = draw(TIMES)
    gaps = draw(st.lists(st.integers(0, 50).map(float), min_size=1, max_size=8))
    brought = draw(st.lists(st.integers(1, 5), min_size=len(gaps), max_size=len(gaps)))
    times = list(itertools.accumulate(gaps, initial=start_s + draw(st.integers(0, 50))))[1:]
    return sample(*times, counts=list(itertools.accumulate(brought)), start_s=start_s)


@given(samples())
def test_times_between_tokens_add_up_to_the_time_from_first_to_last(one: Sample) -> None:
    assert abs(sum(one.itl_s) - (one.times_s[-1] - one.times_s[0])) < 1e-6
    assert sum(one.gaps_s) == one.times_s[-1] - one.times_s[0]
    assert len(one.itl_s) == one.num_tokens - one.counts[0]


@given(samples())
def test_the_first_token_and_those_after_it_make_the_whole_time(one: Sample) -> None:
    assert one.ttft_s is not None
    rest_s = 0.0 if one.tpot_s is None else one.tpot_s * (one.num_tokens - 1)
    assert abs(one.ttft_s + rest_s - one.total_s) < 1e-6


@given(st.lists(samples(), min_size=1, max_size=8), TIMES)
def test_two_windows_side_by_side_have_all_tokens_of_the_whole(
    some: list[Sample], cut_s: float
) -> None:
    """The cut lies between times, which are whole numbers."""
    cut_s += 0.5
    whole = figures(some, window=Window(start_s=-1.0, end_s=3000.0)).rates
    first = figures(some, window=Window(start_s=-1.0, end_s=cut_s)).rates
    second = figures(some, window=Window(start_s=cut_s, end_s=3000.0)).rates
    for name in ("tokens_per_s", "requests_per_s", "prompt_tokens_per_s"):
        parts = getattr(first, name) * first.window_s + getattr(second, name) * second.window_s
        assert abs(parts - getattr(whole, name) * whole.window_s) < 1e-6


@given(st.lists(samples(), min_size=1, max_size=8), TIMES, TIMES)
def test_goodput_is_a_part_of_throughput_and_grows_with_the_bound(
    some: list[Sample], ttft_s: float, itl_s: float
) -> None:
    window = Window(start_s=-1.0, end_s=3000.0)
    strict = LatencyBound(ttft_s=ttft_s, itl_s=itl_s)
    loose = LatencyBound(ttft_s=ttft_s + 1, itl_s=itl_s + 1)
    few = figures(some, bound=strict, window=window).rates
    more = figures(some, bound=loose, window=window).rates
    assert few.goodput_per_s is not None
    assert more.goodput_per_s is not None
    assert few.goodput_per_s <= more.goodput_per_s <= more.requests_per_s


@given(st.lists(st.integers(-100, 100).map(float), min_size=1))
def test_percentiles_leave_as_many_above_as_they_may(values: list[float]) -> None:
    """The smallest value that occurred with at least so many of a hundred at or below it."""
    found = percentiles(values)
    assert found is not None
    for percent, value in ((50, found.p50), (90, found.p90), (95, found.p95), (99, found.p99)):
        assert value in values
        assert 100 * sum(each <= value for each in values) >= percent * len(values)
        assert 100 * sum(each < value for each in values) < percent * len(values)
