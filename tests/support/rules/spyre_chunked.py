"""What binds `spyre_chunked`: chunks of one length, rows that end in the same block, the volume.

    prompt:  [ left padding: whole blocks | chunk 0 … | … chunk n-1, padded to its block's edge ]
    decodes: every row's table, padded on the left with whole blocks, is as long as the longest

Source: sendnn-inference, chunked prefill.
"""

from engine_svc.core.batching import OverLimit
from engine_svc.core.outputs import NO_SLOT, PaddedPaged, ScheduledSequence, SchedulerOutput
from engine_svc.core.params import RequestId
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core.scheduler.base import SchedulerConfig
from tests.support.rules.arithmetic import blocks, ceil64
from tests.support.rules.book import Book
from tests.support.rules.known import Known, KnownRequests
from tests.support.rules.padded import (
    BLOCK,
    check_block_size,
    check_decode_step,
    check_exact_tables,
    check_prompt_step,
    is_prompt_step,
    layout_of,
    volume_limit,
)
from tests.support.rules.pausing import PausingRules
from tests.support.rules.turns import LenientTurns, StrictTurns
from tests.support.rules.verdict import expect, expect_equal


class SpyreChunkedRules:
    """See `rules.base.Checker`."""

    def __init__(self, config: SchedulerConfig) -> None:
        check_block_size(config)
        self._config = config
        self._chunk = config.max_num_batched_tokens
        self._book = Book(config, shares_blocks=config.options.prefix_caching)
        self._pausing = PausingRules(config)
        pauses = config.options.over_limit is OverLimit.PAUSE
        self._turns = StrictTurns() if pauses else LenientTurns()
        self._was_prompt_step = False
        self._num_ahead = 0
        """Blocks of the prompt that is on that were cached and are computed again."""

    def can_run_alone(self, spec: RequestSpec) -> bool:
        """Within context, blocks and volume."""
        end = spec.max_num_tokens
        # The last token is never computed.
        volume = self._config.options.min_decode_rows * (end - 1)
        return (
            spec.num_new_tokens > 0
            and end <= self._config.max_model_len
            and blocks(end, BLOCK) <= self._config.num_blocks
            and volume <= volume_limit(self._config)
        )

    def check(self, step: SchedulerOutput, requests: KnownRequests) -> None:
        """Refuse a step that breaks a rule."""
        self._book.forget_ended(requests)
        layout = layout_of(step)
        decodable = self._book.decodable(requests)
        is_prompt = is_prompt_step(layout)
        if is_prompt:
            check_prompt_step(step, layout, decodable)
            self._check_interleaving(decodable)
            self._check_one_prefill(step, requests)
            self._pausing.check_prompt_step(decodable)
            self._check_chunk(step.sequences[0], layout, requests)
        else:
            check_decode_step(step, layout, self._config, decodable)
            check_rows(step, layout)
            check_exact_tables(step)
            self._pausing.check_decode_step(step, requests)
        self._book.check(step, requests)
        self._turns.check(self._book.starting(step), self._book.waiting(requests))
        self._book.commit(step)
        self._was_prompt_step = is_prompt

    def spoil(self, sequences: tuple[ScheduledSequence, ...]) -> None:
        """Forget what these wrote."""
        self._book.spoil(sequences)

    def _check_interleaving(self, decodable: set[RequestId]) -> None:
        """Who is paused claims no turn between two prompts, but see `PausingRules`."""
        if self._config.options.interleave and self._was_prompt_step:
            waiting = decodable - self._pausing.paused(decodable)
            expect("decodes between two chunks", holds=not waiting, got=waiting)

    def _check_one_prefill(self, step: SchedulerOutput, requests: KnownRequests) -> None:
        """A prompt that was begun is finished before the next one begins."""
        begun = self._book.running_ids() - self._book.decodable(requests)
        served = {sequence.request_id for sequence in step.sequences}
        expect("one prompt at a time", holds=begun <= served, got=begun | served)

    def _check_chunk(
        self, sequence: ScheduledSequence, layout: PaddedPaged, requests: KnownRequests
    ) -> None:
        known = requests[sequence.request_id]
        length = self._chunk
        expect_equal("length of a chunk", expected=length, got=layout.query_len)
        left = left_padding(known, length)
        expect_equal("left padding of a prompt", expected=(left,), got=layout.left_pads)
        chunk_idx = (left + sequence.first_position) // length
        first = max(0, chunk_idx * length - left)
        end = min(known.num_prefill_tokens, (chunk_idx + 1) * length - left)
        borders = (sequence.first_position, sequence.next_position)
        expect_equal("the borders of a chunk", expected=(first, end), got=borders)
        tkv = (chunk_idx + 1) * length
        expect_equal("tkv of a chunk", expected=tkv, got=layout.tkv)
        self._check_table(sequence, known)
        check_write_blocks(sequence, layout, left // BLOCK if chunk_idx == 0 else 0)

    def _check_table(self, sequence: ScheduledSequence, known: Known) -> None:
        """The reference counts cached blocks that are computed again twice: tables run ahead."""
        if sequence.request_id not in self._book.running_ids():
            self._num_ahead = sequence.slot_mapping.count(NO_SLOT) // BLOCK
        least = blocks(sequence.next_position, BLOCK)
        most = min(blocks(known.num_prefill_tokens, BLOCK), least + self._num_ahead)
        length = len(sequence.block_table)
        expect("blocks of a prompt's table", holds=least <= length <= most, got=(length, most))


def left_padding(known: Known, chunk: int) -> int:
    """Positions in front of a prompt, so that its last block ends a chunk."""
    length = known.num_prefill_tokens
    return blocks(length, chunk) * chunk - ceil64(length)


def check_write_blocks(sequence: ScheduledSequence, layout: PaddedPaged, num_left: int) -> None:
    """Where each block of a chunk goes: nowhere where padding is, or what is there already."""
    written: list[int] = [0] * num_left
    first, end = sequence.first_position, sequence.next_position
    for block in sequence.block_table[first // BLOCK : blocks(end, BLOCK)]:
        slots = sequence.slot_mapping[(len(written) - num_left) * BLOCK :][:BLOCK]
        is_kept = {slot == NO_SLOT for slot in slots}
        expect("a block is written whole or not at all", holds=len(is_kept) == 1, got=slots)
        written.append(0 if True in is_kept else block)
    expect_equal("where the blocks go", expected=tuple(written), got=layout.write_blocks)


def check_rows(step: SchedulerOutput, layout: PaddedPaged) -> None:
    """All rows end in the same last block; tkv is the longest of them."""
    ends = [sequence.next_position for sequence in step.sequences]
    num_blocks = max(blocks(end, BLOCK) for end in ends)
    pads = tuple(BLOCK * (num_blocks - blocks(end, BLOCK)) for end in ends)
    expect_equal("left padding of the rows", expected=pads, got=layout.left_pads)
    tkv = max(pad + end for pad, end in zip(pads, ends, strict=True))
    expect_equal("tkv is that of the longest row", expected=tkv, got=layout.tkv)
    offsets = {sequence.block_offset for sequence in step.sequences}
    expect_equal("whole blocks of padding", expected={0}, got=offsets)
