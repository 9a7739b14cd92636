"""Rows times tkv, which no decode step may bring above the device's limit.

Source: vllm-spyre's and sendnn-inference's check_batch_tkv_limit, in the form that subtracts the
tokens that were generated (the first form subtracted the prompt as well and let too much in).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from engine_svc.core.geometry.blocks import BLOCK_SIZE, round_down, round_up


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignedRow:
    """A row that ends in the last block of its batch."""

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


def look_ahead_volume(
    new: AlignedRow, others: Sequence[AlignedRow], *, tkv: int, min_rows: int = 1
) -> int:
    """At least the largest rows * tkv of aligned rows, were `new` to join and nobody left out.

    Args:
        new: the prompt that joins, as if it were computed.
        others: the rows that decode.
        tkv: of the last step. After a prompt that is the prompt's length, which says nothing of
            the others: their own lengths bound it too.
        min_rows: a smaller batch is filled up with copies.
    """
    longest = max(tkv, new.num_computed)
    lens = [_padded_end(longest + row.num_decodes_left) for row in others]
    joined = round_down(longest) + new.num_computed % BLOCK_SIZE
    peak = peak_volume(_padded_end(joined + new.num_decodes_left), lens, min_rows=min_rows)
    return max(peak, _aligned_volume([new, *others], min_rows))


def _padded_end(length: int) -> int:
    """A whole block more than where a row ends: another row's new block can move it that far.

    Source: sendnn-inference PRs 913, 954, 961.
    """
    return round_up(length) + BLOCK_SIZE


def _aligned_volume(rows: Sequence[AlignedRow], min_rows: int) -> int:
    """The largest rows * tkv until the last row leaves, with the longest row's last block full."""
    peak, longest = 0, 0
    by_end = sorted(rows, key=lambda row: row.num_decodes_left, reverse=True)
    # From the last to leave to the first: each end is shared by all that leave later.
    for num_rows, row in enumerate(by_end, start=1):
        longest = max(longest, row.num_computed)
        tkv = round_up(longest + row.num_decodes_left)
        peak = max(peak, max(num_rows, min_rows) * tkv)
    return peak
