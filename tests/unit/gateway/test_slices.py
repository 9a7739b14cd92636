"""A batch in pieces: nothing lost, nothing moved, no piece larger than it may be."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.slices import slices


@pytest.mark.parametrize(
    ("sizes", "pieces"),
    [
        ([], []),
        ([3], [[3]]),
        ([9], [[9]]),
        ([1, 2, 1], [[1, 2, 1]]),
        ([1, 2, 2], [[1, 2], [2]]),
        ([9, 1], [[9], [1]]),
        ([1, 9, 1], [[1], [9], [1]]),
        ([0, 0, 4, 0], [[0, 0, 4, 0]]),
    ],
)
def test_a_batch_is_cut_where_the_next_item_does_not_fit(
    sizes: list[int], pieces: list[list[int]]
) -> None:
    assert list(slices(sizes, lambda size: size, max_size=4)) == pieces


@given(st.lists(st.integers(0, 10)), st.integers(1, 20))
def test_pieces_are_the_batch_and_as_few_as_may_be(sizes: list[int], max_size: int) -> None:
    pieces = list(slices(sizes, lambda size: size, max_size=max_size))
    assert [size for piece in pieces for size in piece] == sizes
    assert all(sum(piece) <= max_size or len(piece) == 1 for piece in pieces)
    assert all(sum(piece) + after[0] > max_size for piece, after in pairwise(pieces))
