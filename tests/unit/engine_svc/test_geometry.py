"""The arithmetic of padded batches, by hand."""

import pytest

from engine_svc.core.batching import PauseOrder, WarmupShape, fastest_first
from engine_svc.core.geometry import shapes
from engine_svc.core.geometry.aligned_rows import AlignedRows, aligned, left_pads
from engine_svc.core.geometry.blocks import num_blocks, round_down, round_up
from engine_svc.core.geometry.chunks import ChunkPlan
from engine_svc.core.geometry.shared_tkv import Seat, common_cut, first_tkv, tkv_with
from engine_svc.core.geometry.turns import take_turns
from engine_svc.core.geometry.volume import (
    AlignedRow,
    exact_volume,
    look_ahead_fits,
    peak_volume,
)
from engine_svc.core.params import BlockId


@pytest.mark.parametrize(
    ("length", "blocks", "up", "down"),
    [(0, 0, 0, 0), (1, 1, 64, 0), (63, 1, 64, 0), (64, 1, 64, 64), (65, 2, 128, 64)],
)
def test_lengths_are_rounded_to_blocks(length: int, blocks: int, up: int, down: int) -> None:
    """Up, down and counted."""
    assert (num_blocks(length), round_up(length), round_down(length)) == (blocks, up, down)


def test_a_prompt_that_fits_below_tkv_moves_nothing_and_a_longer_one_whole_blocks() -> None:
    """49 tokens start at 64; 70 join at 64 + 64."""
    assert first_tkv(49) == 64
    assert first_tkv(64) == 64
    assert tkv_with(70, 70) == 70
    assert tkv_with(64, 70) == 128
    assert tkv_with(65, 200) == 65 + 192


def test_a_seat_counts_pads_query_and_blocks() -> None:
    """41 tokens at tkv 192: 151 pads, 2 whole blocks of them cut away, 23 in the first block."""
    seat = Seat(prompt_len=41, tkv=192)
    assert (seat.left_pad, seat.block_offset, seat.query_len) == (151, 23, 64)
    assert seat.max_blocks(1) == 1
    assert seat.max_blocks(2) == 2
    assert seat.max_blocks(65) == 2
    assert seat.max_blocks(66) == 3
    assert seat.lone_tkv(10) == 23 + 41 + 9


def test_a_seat_in_the_middle_of_a_block_has_a_right_pad() -> None:
    """47 tokens end at 120: 73 pads, one block cut away, the query reaches the block's end."""
    seat = Seat(prompt_len=47, tkv=120)
    assert (seat.left_pad, seat.block_offset, seat.query_len) == (73, 9, 64)
    assert Seat(prompt_len=70, tkv=130).query_len == 192


def test_only_whole_blocks_of_common_padding_are_cut() -> None:
    """The row with the fewest pads decides."""
    assert common_cut([81]) == 64
    assert common_cut([200, 63]) == 0
    assert common_cut([128, 130]) == 128


def test_rows_end_in_one_last_block() -> None:
    """Lengths 129, 64 and 65: 3, 1 and 2 blocks; the second ends at the border, so tkv is 192."""
    assert left_pads([129, 64, 65]) == (0, 128, 64)
    assert aligned([129, 64, 65]).tkv == 192
    assert aligned([129, 65]).tkv == 129
    assert aligned([129, 66]).tkv == 130
    assert left_pads([]) == ()
    assert aligned([]).tkv == 0


def test_rows_can_be_added_in_any_order() -> None:
    """One by one gives the same as all at once."""
    rows = AlignedRows().with_row(15).with_row(85)
    assert (rows.num_rows, rows.num_blocks, rows.tkv) == (2, 2, 85)
    assert aligned([85, 15]) == rows


SHAPES = (
    WarmupShape(batch_size=2, prompt_len=128, new_tokens=20),
    WarmupShape(batch_size=4, prompt_len=64, new_tokens=20),
)


@pytest.mark.parametrize(
    ("prompt_len", "new_tokens", "seated", "expected"),
    [
        (64, 20, 0, SHAPES),
        (65, 20, 0, SHAPES[:1]),
        (64, 21, 0, ()),
        (1, 1, 1, SHAPES),
        (1, 1, 2, SHAPES[1:]),
        (1, 1, 4, ()),
        (129, 1, 0, ()),
    ],
)
def test_a_shape_fits_by_prompt_new_tokens_and_free_rows(
    prompt_len: int, new_tokens: int, seated: int, expected: tuple[WarmupShape, ...]
) -> None:
    """All three bounds are closed."""
    found = shapes.fitting(SHAPES, prompt_len=prompt_len, new_tokens=new_tokens, num_seated=seated)
    assert found == expected


def test_shapes_sort_fastest_first_and_are_told_as_they_are_given() -> None:
    """By batch size, then prompt; equals keep the order in which they were given."""
    equal = WarmupShape(batch_size=2, prompt_len=128, new_tokens=9)
    assert fastest_first([SHAPES[1], SHAPES[0], equal]) == (SHAPES[0], equal, SHAPES[1])
    assert shapes.max_batch_size(SHAPES) == 4
    assert [str(shape) for shape in SHAPES] == ["128:20:2", "64:20:4"]


def test_a_prompt_without_hits_is_padded_in_front_of_its_first_chunk() -> None:
    """320 tokens in chunks of 192: one block of padding, then 128 and 192 tokens."""
    plan = ChunkPlan(prompt_len=320, chunk_len=192)
    assert (plan.num_chunks, plan.left_pad, plan.first_chunk) == (2, 64, 0)
    assert [(plan.start_of(i), plan.end_of(i)) for i in (0, 1)] == [(0, 128), (128, 320)]
    assert [plan.is_last(i) for i in (0, 1)] == [False, True]
    assert [plan.held_after(i) for i in (0, 1)] == [128, 320]
    assert plan.num_unwritten(0) == 0
    table = [BlockId(b) for b in (5, 6, 7, 8, 9)]
    assert plan.write_blocks(0, table) == (0, 5, 6)
    assert plan.write_blocks(1, table) == (7, 8, 9)


def test_a_last_chunk_may_end_inside_a_block() -> None:
    """130 tokens in chunks of 128: 62 of padding are left to the right."""
    plan = ChunkPlan(prompt_len=130, chunk_len=128)
    assert (plan.num_chunks, plan.left_pad) == (2, 64)
    assert [(plan.start_of(i), plan.end_of(i)) for i in (0, 1)] == [(0, 64), (64, 130)]
    assert plan.write_blocks(1, [BlockId(b) for b in (3, 4, 5)]) == (4, 5)


def test_hits_spare_whole_chunks_and_the_rest_is_computed_again() -> None:
    """384 tokens, three blocks cached: chunk 0 is spared, one block of chunk 1 thrown away."""
    plan = ChunkPlan(prompt_len=384, chunk_len=128, num_hit_blocks=3)
    assert (plan.first_chunk, plan.num_usable_blocks) == (1, 2)
    assert (plan.num_unwritten(1), plan.num_unwritten(2)) == (64, 0)
    assert [plan.held_after(i) for i in (1, 2)] == [320, 384]
    table = [BlockId(b) for b in (1, 2, 3, 7, 8, 9)]
    assert plan.write_blocks(1, table) == (0, 7)
    assert plan.write_blocks(2, table) == (8, 9)


def test_hits_within_chunk_0_spare_nothing() -> None:
    """Its cached block is computed again behind the padding."""
    plan = ChunkPlan(prompt_len=320, chunk_len=192, num_hit_blocks=1)
    assert (plan.first_chunk, plan.num_usable_blocks, plan.num_unwritten(0)) == (0, 0, 64)
    assert [plan.held_after(i) for i in (0, 1)] == [192, 320]
    assert plan.write_blocks(0, [BlockId(b) for b in (1, 2, 3)]) == (0, 0, 2)


def test_hits_to_the_end_of_chunk_0_spare_it_whole() -> None:
    """Exactly the real part of chunk 0."""
    plan = ChunkPlan(prompt_len=320, chunk_len=192, num_hit_blocks=2)
    assert (plan.first_chunk, plan.num_usable_blocks, plan.num_unwritten(1)) == (1, 2, 0)
    assert plan.held_after(1) == 320


def test_the_peak_volume_counts_who_is_still_there() -> None:
    """Rows leave in order of their ends; a new row that ends first bounds the batch."""
    assert peak_volume(100, [50, 80]) == max(3 * 50, 2 * 80)
    assert peak_volume(60, [50, 80]) == max(3 * 50, 2 * 60)
    assert peak_volume(40, [50, 80]) == 3 * 40
    assert peak_volume(50, [50]) == 2 * 50
    assert peak_volume(100, []) == 0


def test_copies_of_rows_count_as_rows() -> None:
    """A batch below the fewest rows is filled up."""
    assert peak_volume(100, [50, 80], min_rows=4) == 4 * 80
    assert peak_volume(100, [50], min_rows=2) == 2 * 50


def row(num_computed: int, num_decodes_left: int) -> AlignedRow:
    return AlignedRow(num_computed, num_decodes_left)


def look_ahead_volume(new: AlignedRow, others: list[AlignedRow], tkv: int) -> int:
    """The smallest limit that `new` is let in with."""
    limits = range(64, 64 * 1024, 64)
    return next(n for n in limits if look_ahead_fits(new, others, tkv=tkv, limit=n))


def test_looking_ahead_rounds_up_and_leaves_a_block_of_slack() -> None:
    """60 tokens with 29 decodes, 62 join with 19: the new one ends first, at 62 + 19 → 128 + 64."""
    assert look_ahead_volume(row(62, 19), [row(60, 29)], tkv=60) == 2 * 192
    assert not look_ahead_fits(row(62, 19), [row(60, 29)], tkv=60, limit=2 * 192 - 1)


def test_looking_ahead_starts_where_the_last_step_was() -> None:
    """A new prompt is padded into the last block of a longer batch."""
    assert look_ahead_volume(row(10, 5), [row(200, 50)], tkv=200) == 2 * (256 + 64)
    assert look_ahead_volume(row(10, 60), [row(200, 80)], tkv=200) == 2 * (320 + 64)


def test_looking_ahead_is_not_fooled_by_a_tkv_that_says_too_little() -> None:
    """After a short prompt tkv is its length; the rows that decode are longer."""
    fooled = 2 * (64 + 64)
    assert not look_ahead_fits(row(10, 5), [row(1000, 50)], tkv=10, limit=fooled)
    # The longer row ends at 1050, alone; 1005 with the new one.
    assert look_ahead_volume(row(10, 5), [row(1000, 50)], tkv=10) == 2 * 1024
    assert look_ahead_volume(row(10, 5), [row(1000, 1200)], tkv=10) == 2240


def test_a_prompt_that_never_decodes_adds_no_row() -> None:
    """Its only token comes from its prompt; only the padding rule of a join counts."""
    assert look_ahead_fits(row(105, 0), [row(255, 30), row(40, 30)], tkv=28, limit=2 * 320)


def test_the_true_volume_is_exact() -> None:
    """Two rows far apart in one last block: the short one fills its block on the way."""
    rows = [row(130, 20), row(40, 30)]
    # At the 24th decode of the second it stands at 192, alone; at the 20th both are at 188.
    assert exact_volume(rows) == max(2 * 188, 192)
    assert exact_volume([row(130, 20), row(60, 30)]) == 2 * 192
    assert exact_volume([row(120, 9), row(100, 3)]) == max(2 * 123, 129)


class Row:
    """A candidate of `take_turns`."""

    def __init__(self, name: str, kv_len: int, num_decoded: int, num_left_out: int = 0) -> None:
        self.name = name
        self.next_kv_len = kv_len
        self.num_decoded = num_decoded
        self.num_left_out = num_left_out

    def __repr__(self) -> str:
        return self.name


def turns(
    paused: list[Row],
    decoding: list[Row],
    limit: int,
    order: PauseOrder = PauseOrder.FEWEST_FIRST,
) -> tuple[str, str]:
    """Who decodes and who does not, as letters."""
    chosen = take_turns(
        paused, decoding, order=order, fits=lambda rows: rows.num_rows * rows.tkv <= limit
    )
    return "".join(map(repr, chosen.decoding)), "".join(map(repr, chosen.paused))


def test_all_decode_in_their_order_while_all_fit() -> None:
    """Nobody moves."""
    rows = [Row("a", 60, 9), Row("b", 60, 1)]
    assert turns([], rows, 120) == ("ab", "")
    assert turns([], [], 1) == ("", "")


def test_whoever_produced_most_is_left_out_and_the_order_of_the_others_stays() -> None:
    """Or fewest, if told so."""
    rows = [Row("a", 60, 9), Row("b", 60, 1), Row("c", 60, 5)]
    assert turns([], rows, 120) == ("bc", "a")
    assert turns([], rows, 120, PauseOrder.MOST_FIRST) == ("ac", "b")


def test_whoever_waited_longest_goes_first_and_comes_back_at_the_end() -> None:
    """Before any other order."""
    paused = [Row("p", 60, 99, num_left_out=2)]
    decoding = [Row("a", 60, 3), Row("b", 60, 1)]
    assert turns(paused, decoding, 120) == ("bp", "a")
    assert turns(paused, decoding, 180) == ("abp", "")


def test_equals_go_as_they_stand_paused_ones_first() -> None:
    """In both orders."""
    paused = [Row("p", 60, 1)]
    decoding = [Row("a", 60, 1), Row("b", 60, 1)]
    for order in PauseOrder:
        assert turns(paused, decoding, 120, order) == ("ap", "b")


def test_a_shorter_row_may_go_where_a_longer_one_does_not_fit() -> None:
    """The walk goes on after a refusal."""
    rows = [Row("a", 60, 1), Row("long", 500, 2), Row("b", 60, 3)]
    assert turns([], rows, 120) == ("ab", "long")


def test_those_left_out_stand_in_turn() -> None:
    """Not in the order in which they came."""
    rows = [Row("a", 60, 3), Row("b", 60, 2), Row("c", 60, 1)]
    assert turns([], rows, 60) == ("c", "ba")
