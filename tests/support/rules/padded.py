"""What binds both paged policies of Spyre: one prompt or decodes, never both; rows * tkv.

Source: vllm-spyre; the compiler's limits (blocks of 64, whole blocks per prompt, the volume).
"""

from engine_svc.core.outputs import PaddedPaged, SchedulerOutput
from engine_svc.core.params import RequestId
from engine_svc.core.scheduler.base import SchedulerConfig
from tests.support.rules.verdict import expect, expect_at_most, expect_equal

BLOCK = 64


def check_block_size(config: SchedulerConfig) -> None:
    """Refuse bounds that no card takes."""
    expect_equal("block size", expected=BLOCK, got=config.block_size)
    whole = config.max_model_len % BLOCK == 0
    expect("the context is whole blocks", holds=whole, got=config.max_model_len)


def volume_limit(config: SchedulerConfig) -> int:
    """Most of rows * tkv in a decode step."""
    wanted = config.options.max_batch_tkv
    return wanted if wanted is not None else config.max_num_seqs * config.max_model_len


def layout_of(step: SchedulerOutput) -> PaddedPaged:
    """The layout of a step, which has one left padding per sequence."""
    layout = step.layout
    if not isinstance(layout, PaddedPaged):
        raise AssertionError(f"the layout: expected a PaddedPaged, got {layout!r}")  # noqa: TRY004 - a verdict
    expected = len(step.sequences)
    expect_equal("a left padding per sequence", expected=expected, got=len(layout.left_pads))
    return layout


def is_prompt_step(layout: PaddedPaged) -> bool:
    """Whether a step computes a prompt, or a chunk of one."""
    return layout.query_len > 1 or bool(layout.write_blocks)


def check_prompt_step(
    step: SchedulerOutput, layout: PaddedPaged, decodable: set[RequestId]
) -> None:
    """One sequence, whose prompt is not computed yet, in whole blocks."""
    expect_equal("one sequence per prompt step", expected=1, got=len(step.sequences))
    (sequence,) = step.sequences
    is_prompt = sequence.request_id not in decodable
    expect("no decode in a prompt step", holds=is_prompt, got=sequence.request_id)
    expect_equal("a prompt has one row", expected=1, got=layout.num_rows)
    whole = layout.query_len % BLOCK == 0
    expect("a prompt is padded to whole blocks", holds=whole, got=layout.query_len)
    length = layout.query_len // BLOCK
    expect_equal("a target per block", expected=length, got=len(layout.write_blocks))


def check_decode_step(
    step: SchedulerOutput, layout: PaddedPaged, config: SchedulerConfig, decodable: set[RequestId]
) -> None:
    """One token per row; everybody who can, but the paused; the volume and the context."""
    served = {sequence.request_id for sequence in step.sequences}
    expect("no prompt in a decode step", holds=served <= decodable, got=served - decodable)
    left_out = decodable - served
    expect_equal("who is left out is paused", expected=left_out, got=set(step.paused_request_ids))
    for sequence in step.sequences:
        expect_equal("one token per row", expected=1, got=sequence.num_tokens)
    rows = max(len(step.sequences), config.options.min_decode_rows)
    expect_equal("rows on the device", expected=rows, got=layout.num_rows)
    expect_at_most("tkv within the context", limit=config.max_model_len, got=layout.tkv)
    volume = layout.num_rows * layout.tkv
    expect_at_most("rows * tkv", limit=volume_limit(config), got=volume)


def check_exact_tables(step: SchedulerOutput) -> None:
    """No empty block on the right: the last block of every table holds a real token."""
    for sequence in step.sequences:
        end = sequence.block_offset + sequence.next_position
        length = -(-end // BLOCK)
        expect_equal("blocks of the table", expected=length, got=len(sequence.block_table))
