"""Rows times tkv, which no decode step may bring above the device's limit.

Source: vllm-spyre's and sendnn-inference's check_batch_tkv_limit, in the form that subtracts the
tokens that were generated (the first form subtracted the prompt as well and let too much in).
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from engine_svc.core.geometry.blocks import BLOCK_SIZE, num_blocks, round_down, round_up


class AlignedRow(NamedTuple):
    """A row that ends in the last block of its batch; made by the thousand in a step."""

    num_computed: int
    """Positions in the cache."""
    num_decodes_left: int
    """Most steps until it leaves."""


def peak_volume(new_len: int, lens: Sequence[int], *, min_rows: int = 1) -> int:
    """The largest rows * tkv of a batch while a new row is in it together with others.

    Args:
        new_len: tkv when the new row produces its last token.
        lens: the same for each row of the batch, were the new row in it for ever.
        min_rows: a smaller batch is filled up with copies.

    Rows leave one after the other. Once the new row is no longer, or alone, the batch is no larger
    than what was checked when the others joined, or what the lone row was checked for.
    """
    num_rows, peak = len(lens) + 1, 0
    for length in sorted(lens):
        peak = max(peak, max(num_rows, min_rows) * min(length, new_len))
        if new_len <= length:
            break
        num_rows -= 1
    return peak


def look_ahead_fits(
    new: AlignedRow, others: Sequence[AlignedRow], *, tkv: int, limit: int, min_rows: int = 1
) -> bool:
    """Whether rows * tkv stays within `limit` for ever if `new` joins and nobody is left out.

    Args:
        new: the prompt that joins, as if it were computed.
        others: the rows that decode.
        tkv: of the last step. After a prompt that is the prompt's length, which says nothing of
            the others: their own lengths bound it too.
        limit: most of rows * tkv.
        min_rows: a smaller batch is filled up with copies.
    """
    longest = max(tkv, new.num_computed)
    lens = [_padded_end(longest + row.num_decodes_left) for row in others]
    joined = round_down(longest) + new.num_computed % BLOCK_SIZE
    new_len = _padded_end(joined + new.num_decodes_left)
    if peak_volume(new_len, lens, min_rows=min_rows) > limit:
        return False
    rows = [row for row in (new, *others) if row.num_decodes_left > 0]
    return _bound(rows, min_rows) <= limit or exact_volume(rows, min_rows=min_rows) <= limit


def _padded_end(length: int) -> int:
    """A whole block more than where a row ends: another row's new block can move it that far.

    Source: sendnn-inference PRs 913, 954, 961.
    """
    return round_up(length) + BLOCK_SIZE


def _bound(rows: Sequence[AlignedRow], min_rows: int) -> int:
    """At least the largest rows * tkv until the last row leaves: every last block is full."""
    peak, longest = 0, 0
    by_end = sorted(rows, key=attrgetter("num_decodes_left"), reverse=True)
    # From the last to leave to the first: each end is shared by all that leave later.
    for num_rows, (num_computed, decodes_left) in enumerate(by_end, start=1):
        longest = max(longest, num_computed)
        peak = max(peak, max(num_rows, min_rows) * round_up(longest + decodes_left))
    return peak


def exact_volume(rows: Sequence[AlignedRow], *, min_rows: int = 1) -> int:
    """The largest rows * tkv until the last row leaves; takes time quadratic in the rows.

    Args:
        rows: all with a decode left.
        min_rows: a smaller batch is filled up with copies.
    """
    peak, start = 0, 0
    for end in sorted({row.num_decodes_left for row in rows}):
        there = [row.num_computed for row in rows if row.num_decodes_left >= end]
        peak = max(peak, max(len(there), min_rows) * _largest_tkv(there, start, end))
        start = end
    return peak


def _largest_tkv(computed: Sequence[int], start: int, end: int) -> int:
    """The largest tkv of decodes start + 1 to end of rows that stay together.

    It is the largest while the longest row is in the last block that it reaches: before that, the
    whole batch is shorter. There a row that fills its own last block brings tkv to the border.
    """
    longest = max(computed)
    blocks = num_blocks(longest + end)
    first = max(start + 1, BLOCK_SIZE * (blocks - 1) + 1 - longest)
    slack = min(
        0
        if (row + end) // BLOCK_SIZE > (row + first - 1) // BLOCK_SIZE
        else -(row + end) % BLOCK_SIZE
        for row in computed
    )
    return BLOCK_SIZE * blocks - slack
