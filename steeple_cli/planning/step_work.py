"""What a device computes in a step, padding included, and how much of it is real.

Ragged steps have no padding. Padded ones are charged as the device runs them: the rows and
positions of the layout, not the tokens in them.
"""

from dataclasses import dataclass
from typing import assert_never

from engine_svc.core.outputs import (
    NO_SLOT,
    PaddedPaged,
    Ragged,
    ScheduledSequence,
    SchedulerOutput,
    StaticShape,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepWork:
    """Counts of one step."""

    num_prompt_tokens: int = 0
    """Prompt tokens computed, and all tokens that a preempted request computes again."""
    num_recomputed_tokens: int = 0
    """Those of them that the cache already held."""
    num_prompt_positions: int = 0
    """Query positions that the device computes for them."""
    num_prompt_kv_positions: int = 0
    """KV positions that it reads for them."""
    num_decodes: int = 0
    """Requests that decode."""
    num_decode_rows: int = 0
    """Rows that the device computes for them."""
    num_decode_kv_tokens: int = 0
    """Real tokens in the KV cache of those that decode, with the step's own."""
    num_decode_kv_positions: int = 0
    """KV positions that the device reads for them."""


def work_of(step: SchedulerOutput) -> StepWork:
    """What `step` costs a device."""
    prompts = [s for s in step.sequences if not is_decode(s)]
    decodes = [s for s in step.sequences if is_decode(s)]
    match step.layout:
        case Ragged():
            return _ragged(prompts, decodes)
        case PaddedPaged():
            return _padded(step.layout, prompts, decodes)
        case StaticShape():
            return _static(step.layout, prompts, decodes)
        case _:
            assert_never(step.layout)


def is_decode(sequence: ScheduledSequence) -> bool:
    """Whether the step computes one token of output; a preempted request's chunks are prompts."""
    return sequence.num_tokens == 1 and sequence.first_position >= sequence.num_prompt_tokens


def _ragged(prompts: list[ScheduledSequence], decodes: list[ScheduledSequence]) -> StepWork:
    return StepWork(
        num_prompt_tokens=_tokens(prompts),
        num_recomputed_tokens=_recomputed(prompts),
        num_prompt_positions=_tokens(prompts),
        num_prompt_kv_positions=_kv_tokens(prompts),
        num_decodes=len(decodes),
        num_decode_rows=len(decodes),
        num_decode_kv_tokens=_kv_tokens(decodes),
        num_decode_kv_positions=_kv_tokens(decodes),
    )


def _padded(
    layout: PaddedPaged, prompts: list[ScheduledSequence], decodes: list[ScheduledSequence]
) -> StepWork:
    if prompts:
        # Whole blocks in front of the prompt are not read: its own row counts, not the batch's.
        row_lens = (pad + s.next_position for pad, s in zip(layout.left_pads, prompts, strict=True))
        return StepWork(
            num_prompt_tokens=_tokens(prompts),
            num_recomputed_tokens=_recomputed(prompts),
            num_prompt_positions=layout.num_rows * layout.query_len,
            num_prompt_kv_positions=sum(_rounded_up(n, layout.query_len) for n in row_lens),
        )
    return StepWork(
        num_decodes=len(decodes),
        num_decode_rows=layout.num_rows,
        num_decode_kv_tokens=_kv_tokens(decodes),
        num_decode_kv_positions=layout.num_rows * layout.tkv,
    )


def _static(
    layout: StaticShape, prompts: list[ScheduledSequence], decodes: list[ScheduledSequence]
) -> StepWork:
    kv_positions = layout.batch_size * layout.kv_len
    if prompts:
        return StepWork(
            num_prompt_tokens=_tokens(prompts),
            num_recomputed_tokens=_recomputed(prompts),
            num_prompt_positions=layout.batch_size * layout.prompt_len,
            num_prompt_kv_positions=kv_positions,
        )
    return StepWork(
        num_decodes=len(decodes),
        num_decode_rows=layout.batch_size,
        num_decode_kv_tokens=_kv_tokens(decodes),
        num_decode_kv_positions=kv_positions,
    )


def _tokens(sequences: list[ScheduledSequence]) -> int:
    return sum(sequence.num_tokens for sequence in sequences)


def _recomputed(sequences: list[ScheduledSequence]) -> int:
    return sum(sequence.slot_mapping.count(NO_SLOT) for sequence in sequences)


def _kv_tokens(sequences: list[ScheduledSequence]) -> int:
    return sum(sequence.next_position for sequence in sequences)


def _rounded_up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple
