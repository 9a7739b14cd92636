"""What binds `spyre_continuous`: whole prompts, and one tkv that all decode rows share.

    row:  [ left padding | prompt and output ]        left padding + tokens == tkv, for every row
    block borders are those of the row, so each row has the same last block

The geometry is replayed: it follows from the order of the steps and the lengths alone.
Source: vllm-spyre's continuous batching, with the batch shifted for long prompts.
"""

from engine_svc.core.batching import Join
from engine_svc.core.outputs import PaddedPaged, ScheduledSequence, SchedulerOutput
from engine_svc.core.params import RequestId
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core.scheduler.base import SchedulerConfig
from tests.support.rules.arithmetic import blocks, ceil64
from tests.support.rules.book import Book
from tests.support.rules.known import KnownRequests
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
from tests.support.rules.turns import StrictTurns
from tests.support.rules.verdict import expect, expect_at_most, expect_equal


class SpyreContinuousRules:
    """See `rules.base.Checker`."""

    def __init__(self, config: SchedulerConfig) -> None:
        check_block_size(config)
        self._config = config
        self._book = Book(config)
        self._turns = StrictTurns()
        self._tkv = 0
        self._left_pads: dict[RequestId, int] = {}

    def can_run_alone(self, spec: RequestSpec) -> bool:
        """Its prompt in whole blocks and its output, within context, blocks and volume."""
        end = ceil64(spec.num_prefill_tokens) + spec.num_new_tokens - 1
        volume = self._config.options.min_decode_rows * end
        return (
            spec.num_new_tokens > 0
            and spec.max_num_tokens <= self._config.max_model_len
            and end <= self._config.max_model_len
            and blocks(end, BLOCK) <= self._config.num_blocks
            and volume <= volume_limit(self._config)
        )

    def check(self, step: SchedulerOutput, requests: KnownRequests) -> None:
        """Refuse a step that breaks a rule."""
        self._book.forget_ended(requests)
        for request_id in self._left_pads.keys() - requests.keys():
            del self._left_pads[request_id]
        layout = layout_of(step)
        decodable = self._book.decodable(requests)
        if is_prompt_step(layout):
            check_prompt_step(step, layout, decodable)
            self._check_prompt(step.sequences[0], layout, requests)
        else:
            check_decode_step(step, layout, self._config, decodable)
            self._check_decodes(step, layout)
        check_exact_tables(step)
        self._book.check(step, requests)
        self._turns.check(self._book.starting(step), self._book.waiting(requests))
        self._book.commit(step)

    def spoil(self, sequences: tuple[ScheduledSequence, ...]) -> None:
        """Forget what these wrote."""
        self._book.spoil(sequences)

    def _check_prompt(
        self, sequence: ScheduledSequence, layout: PaddedPaged, requests: KnownRequests
    ) -> None:
        known = requests[sequence.request_id]
        length = known.num_prefill_tokens
        expect_equal("the whole prompt at once", expected=length, got=sequence.num_tokens)
        self._join(sequence.request_id, length)
        # Whole blocks of padding are cut away; what is left lies in the first block.
        offset = self._left_pads[sequence.request_id] % BLOCK
        expect_equal("in-block padding", expected=offset, got=sequence.block_offset)
        expect_equal("left padding of a prompt", expected=(offset,), got=layout.left_pads)
        padded = ceil64(offset + length)
        expect_equal("length of the padded prompt", expected=padded, got=layout.query_len)
        table = sequence.block_table
        expect_equal("every block is written", expected=table, got=layout.write_blocks)
        fits = offset + length <= layout.tkv <= self._config.max_model_len
        expect("tkv covers the prompt within the context", holds=fits, got=layout.tkv)
        in_block = (offset + length) % BLOCK
        expect_equal("tkv ends in the last block", expected=in_block, got=layout.tkv % BLOCK)

    def _join(self, request_id: RequestId, length: int) -> None:
        """Replay who moves when a prompt comes."""
        if self._left_pads:
            waits = self._config.options.join is Join.WAIT
            holds = length <= self._tkv or not waits
            expect("a prompt longer than the batch waits", holds=holds, got=(length, self._tkv))
            self._move(-self._common_padding())
            # Also where waiting is asked for: the cut can leave less than the prompt had found.
            self._move(ceil64(max(0, length - self._tkv)))
        else:
            self._tkv = ceil64(length)
        self._left_pads[request_id] = self._tkv - length
        expect_at_most("tkv within the context", limit=self._config.max_model_len, got=self._tkv)

    def _common_padding(self) -> int:
        """Positions that are padding in every row, in whole blocks."""
        return BLOCK * (min(self._left_pads.values()) // BLOCK)

    def _move(self, distance: int) -> None:
        """Shift the whole batch."""
        self._tkv += distance
        self._left_pads = {other: pad + distance for other, pad in self._left_pads.items()}

    def _check_decodes(self, step: SchedulerOutput, layout: PaddedPaged) -> None:
        expect_equal("nobody is paused", expected=(), got=step.paused_request_ids)
        self._move(-self._common_padding())
        self._tkv += 1
        expect_equal("the shared tkv", expected=self._tkv, got=layout.tkv)
        pads = tuple(self._left_pads[sequence.request_id] for sequence in step.sequences)
        expect_equal("left padding of the rows", expected=pads, got=layout.left_pads)
        for sequence, pad in zip(step.sequences, pads, strict=True):
            row = pad + sequence.next_position
            expect_equal("every row ends at tkv", expected=layout.tkv, got=row)
            offsets = [slot % BLOCK for slot in sequence.slot_mapping]
            expect_equal(
                "the slot follows from tkv", expected=[(self._tkv - 1) % BLOCK], got=offsets
            )
