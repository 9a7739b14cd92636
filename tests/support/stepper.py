"""Drives a runner without a scheduler: requests arrive, prompts go in chunks, blocks are scattered.

Every step mixes chunks and decodes of all sequences that are there, in one ragged batch.
"""

import random
from dataclasses import dataclass, field

from engine_svc.core.kv_cache.slots import slots_for
from engine_svc.core.outputs import Ragged, SampleSpec, ScheduledSequence, SchedulerOutput
from engine_svc.core.params import BlockId, LogprobsParams, RequestId, SamplingParams
from engine_svc.core.runner.base import ModelRunner

GREEDY = SamplingParams(temperature=0.0)


@dataclass(kw_only=True)
class Sequence:
    """One request on its way."""

    prompt: list[int]
    num_new: int
    sampling: SamplingParams = GREEDY
    eos_token_ids: tuple[int, ...] = ()
    logprobs: LogprobsParams | None = None
    arrives_at: int = 0
    """The step before which it is not there."""
    output: list[int] = field(default_factory=list)
    num_computed: int = 0
    blocks: list[BlockId] = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        """Whether all its tokens are there."""
        return len(self.output) == self.num_new


class Stepper:
    """Owns the blocks of a runner whose `warm_up` it calls."""

    def __init__(self, runner: ModelRunner, *, num_blocks: int = 96, block_size: int = 4) -> None:
        runner.warm_up(num_blocks=num_blocks, block_size=block_size)
        self.runner = runner
        self._block_size = block_size
        self._free = [BlockId(idx) for idx in range(1, num_blocks + 1)]
        random.Random(num_blocks).shuffle(self._free)  # noqa: S311 - order, not secrets
        self._step = 0
        self._num_runs = 0
        self._ended: list[RequestId] = []

    def run(self, sequences: list[Sequence], *, chunk: int) -> list[list[int]]:
        """Compute all sequences to their end; their outputs."""
        start = self._step
        self._num_runs += 1
        named = {RequestId(f"{self._num_runs}-{i}"): seq for i, seq in enumerate(sequences)}
        while not all(sequence.is_done for sequence in sequences):
            present = {
                key: sequence
                for key, sequence in named.items()
                if not sequence.is_done and sequence.arrives_at <= self._step - start
            }
            self._run_step(present, chunk)
        self._ended += named
        for sequence in sequences:
            self._free.extend(sequence.blocks)
        return [sequence.output for sequence in sequences]

    def _run_step(self, scheduled: dict[RequestId, Sequence], chunk: int) -> None:
        self._step += 1
        ended, self._ended = tuple(self._ended), []
        step = SchedulerOutput(
            step=self._step,
            sequences=tuple(self._schedule(key, seq, chunk) for key, seq in scheduled.items()),
            layout=Ragged(),
            finished_request_ids=ended,
        )
        result = self.runner.execute(step)
        assert not result.faults
        for computed in step.sequences:
            sequence = scheduled[computed.request_id]
            sequence.num_computed += computed.num_tokens
            sequence.output.extend(result.token_ids.get(computed.request_id, ()))

    def _schedule(self, key: RequestId, sequence: Sequence, chunk: int) -> ScheduledSequence:
        known = sequence.prompt + sequence.output
        end = min(len(known), sequence.num_computed + chunk)
        while len(sequence.blocks) * self._block_size < end:
            sequence.blocks.append(self._free.pop())
        return ScheduledSequence(
            request_id=key,
            token_ids=tuple(known[sequence.num_computed : end]),
            first_position=sequence.num_computed,
            num_prompt_tokens=len(sequence.prompt),
            block_table=tuple(sequence.blocks),
            slot_mapping=slots_for(sequence.blocks, sequence.num_computed, end, self._block_size),
            sample=sample_spec(sequence, known) if end == len(known) else None,
        )


def sample_spec(sequence: Sequence, known: list[int]) -> SampleSpec:
    """How to choose the token after `known`."""
    return SampleSpec(
        sampling=sequence.sampling,
        output_index=0,
        eos_token_ids=sequence.eos_token_ids,
        num_prompt_tokens=len(sequence.prompt),
        history=known if sequence.sampling.looks_back else None,
        logprobs=sequence.logprobs,
    )
