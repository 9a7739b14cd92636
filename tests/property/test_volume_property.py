"""Rows times tkv, predicted for a whole batch, against the batch decoded step by step."""

from hypothesis import given
from hypothesis import strategies as st

from engine_svc.core.geometry.aligned_rows import aligned
from engine_svc.core.geometry.shared_tkv import common_cut
from engine_svc.core.geometry.volume import (
    AlignedRow,
    exact_volume,
    look_ahead_fits,
    peak_volume,
)

ROWS = st.lists(
    st.builds(AlignedRow, st.integers(1, 400), st.integers(1, 200)), min_size=1, max_size=6
)
MIN_ROWS = st.integers(1, 3)


def decoded(rows: list[AlignedRow], min_rows: int) -> int:
    """The largest rows * tkv of aligned rows, step by step."""
    peak = 0
    for step in range(1, max(row.num_decodes_left for row in rows) + 1):
        lens = [row.num_computed + step for row in rows if row.num_decodes_left >= step]
        peak = max(peak, max(len(lens), min_rows) * aligned(lens).tkv)
    return peak


@given(rows=ROWS, min_rows=MIN_ROWS)
def test_the_exact_volume_is_that_of_the_worst_step(rows: list[AlignedRow], min_rows: int) -> None:
    """No step of any batch is larger, and one is as large."""
    assert exact_volume(rows, min_rows=min_rows) == decoded(rows, min_rows)


@given(
    new=st.builds(AlignedRow, st.integers(1, 400), st.integers(0, 200)),
    others=ROWS,
    tkv=st.integers(1, 600),
    limit=st.integers(64, 4000),
    min_rows=MIN_ROWS,
)
def test_whoever_is_let_in_never_exceeds_the_limit(
    new: AlignedRow, others: list[AlignedRow], tkv: int, limit: int, min_rows: int
) -> None:
    """Whatever tkv the last step left."""
    if look_ahead_fits(new, others, tkv=tkv, limit=limit, min_rows=min_rows):
        rows = [row for row in (new, *others) if row.num_decodes_left]
        assert decoded(rows, min_rows) <= limit


@given(
    rows=st.lists(st.tuples(st.integers(0, 200), st.integers(1, 100)), min_size=1, max_size=6),
    new=st.tuples(st.integers(0, 200), st.integers(1, 100)),
    tkv=st.integers(201, 400),
    min_rows=MIN_ROWS,
)
def test_the_peak_of_a_shared_tkv_covers_all_steps_of_the_new_row(
    rows: list[tuple[int, int]], new: tuple[int, int], tkv: int, min_rows: int
) -> None:
    """Rows are (left pad, decodes left); while others are there no step is larger."""
    lens = [tkv + left for _, left in rows]
    peak = peak_volume(tkv + new[1], lens, min_rows=min_rows)
    cut = 0
    for step in range(1, new[1] + 1):
        there = [(pad, left) for pad, left in (*rows, new) if left >= step]
        if len(there) == 1:
            break
        cut = common_cut(pad for pad, _ in there)
        assert max(len(there), min_rows) * (tkv + step - cut) <= peak
