"""A runner without weights that is strict: it answers from what it finds in its KV cache.

Writing a token puts its id into its slot; a sampled token is computed from what the block table
leads to. A wrong slot, a block shared by mistake or a gap shows as a wrong token or an error.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, assert_never

from engine_svc.core.models.description import ModelDescription, model_fingerprint
from engine_svc.core.outputs import (
    NO_SLOT,
    PaddedPaged,
    Ragged,
    RowFault,
    RunnerOutput,
    ScheduledSequence,
    SchedulerOutput,
    StaticShape,
)
from engine_svc.core.params import TokenId
from engine_svc.core.runner.base import CacheCorruptError, Progress, RunnerInfo
from engine_svc.core.runner.fake_logits import certain_logprobs
from engine_svc.core.runner.fake_options import FakeFailure, FakeOptions, FakeReply

if TYPE_CHECKING:
    from engine_svc.core.runner.fake_model import FakeModel

_EMPTY = -1
NON_FINITE = RowFault(reason="NON_FINITE_LOGITS", message="the model produced non-finite logits")


class FakeRunner:
    """See `runner.base.ModelRunner`.

    Args:
        description: the model that it stands in for.
        options: the script.
        sleep: how to spend `step_s`.
    """

    def __init__(
        self,
        description: ModelDescription,
        options: FakeOptions,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._description = description
        self._options = options
        self._sleep = sleep
        self._block_size = 0
        self._slots: list[TokenId] = []
        self._num_steps = 0
        self._model: FakeModel | None = None

    def load(self, progress: Progress) -> None:
        """Load nothing, and say so."""
        if self._options.reply is FakeReply.SAMPLED:
            from engine_svc.core.runner.fake_model import FakeModel  # noqa: PLC0415 - see there

            self._model = FakeModel(
                vocab_size=self._description.vocab_size, eos_token_id=self._options.eos_token_id
            )
        progress("loading weights", 1, 1)

    def info(self) -> RunnerInfo:
        """A model of no weight whose tokens take 4 bytes each."""
        return RunnerInfo(
            name="fake",
            model_fingerprint=model_fingerprint(self._description, dtype="none", headers=b""),
            device="none",
            dtype="none",
            weights_bytes=0,
            kv_bytes_per_token=4,
            layouts=frozenset({Ragged, PaddedPaged, StaticShape}),
        )

    def warm_up(self, *, num_blocks: int, block_size: int, max_num_tokens: int = 1) -> None:  # noqa: ARG002 - nothing is computed
        """Make an empty cache."""
        if self._options.failure_step == 0:
            self._fail()
        self._block_size = block_size
        self._slots = [_EMPTY] * ((num_blocks + 1) * block_size)

    def execute(self, step: SchedulerOutput) -> RunnerOutput:
        """Copy, write, then read back and answer. Only what computes takes its time or fails."""
        if self._model is not None:
            self._model.forget(step.finished_request_ids)
        for source, target in step.block_copies:
            self._copy(source, target)
        if not step.sequences:
            return RunnerOutput(token_ids={})
        if self._options.step_s:  # to sleep for nothing takes its time, too
            self._sleep(self._options.step_s)
        self._num_steps += 1
        if self._is_to_fail(self._num_steps):
            self._fail()
        for sequence in step.sequences:
            self._write(sequence)
        histories = {s.request_id: self._read(s) for s in step.sequences}
        faults = {
            sequence.request_id: NON_FINITE
            for sequence in step.sequences
            if self._options.fault_token_id
            in histories[sequence.request_id][: sequence.num_prompt_tokens]
        }
        wanting = [
            sequence
            for sequence in step.sequences
            if sequence.sample is not None and sequence.request_id not in faults
        ]
        answered = self._answer(wanting, [histories[s.request_id] for s in wanting])
        return replace(answered, faults={**answered.faults, **faults})

    def probe(self) -> None:
        """Fail if the script says that everything fails now."""
        if self._options.failure_lasts and self._is_to_fail(self._num_steps):
            self._fail()

    def _is_to_fail(self, step: int) -> bool:
        at = self._options.failure_step
        return at is not None and (step == at or (self._options.failure_lasts and step > at))

    def _fail(self) -> None:
        match self._options.failure:
            case FakeFailure.RAISE:
                raise RuntimeError("scripted failure of the fake runner")
            case FakeFailure.HANG:
                threading.Event().wait()
            case FakeFailure.CRASH:
                os.kill(os.getpid(), signal.SIGKILL)
            case unknown:
                assert_never(unknown)

    def _copy(self, source: int, target: int) -> None:
        size = self._block_size
        self._slots[target * size : (target + 1) * size] = self._slots[
            source * size : (source + 1) * size
        ]

    def _write(self, sequence: ScheduledSequence) -> None:
        if self._options.raise_token_id in sequence.token_ids:
            self._fail()
        for token, slot in zip(sequence.token_ids, sequence.slot_mapping, strict=True):
            if slot != NO_SLOT:
                self._slots[slot] = token

    def _read(self, sequence: ScheduledSequence) -> list[TokenId]:
        """Every token of the sequence, through its block table."""
        size, first = self._block_size, sequence.block_offset
        # Block by block: a history is long, and read in every step.
        blocks = (self._slots[block * size : (block + 1) * size] for block in sequence.block_table)
        history = list(chain.from_iterable(blocks))[first : first + sequence.next_position]
        if _EMPTY in history:
            raise CacheCorruptError(
                f"{sequence.request_id}: position {history.index(_EMPTY)} was never written"
            )
        if tuple(history[sequence.first_position :]) != sequence.token_ids:
            raise CacheCorruptError(f"{sequence.request_id}: another request wrote its slots")
        return history

    def _answer(
        self, sequences: Sequence[ScheduledSequence], histories: Sequence[list[TokenId]]
    ) -> RunnerOutput:
        if self._model is not None:
            return self._model.answer(sequences, histories)
        tokens = {
            sequence.request_id: self._next(sequence, history)
            for sequence, history in zip(sequences, histories, strict=True)
        }
        return RunnerOutput(
            token_ids={request_id: (token,) for request_id, token in tokens.items()},
            logprobs={
                sequence.request_id: (
                    certain_logprobs(
                        tokens[sequence.request_id],
                        asked,
                        vocab_size=self._description.vocab_size,
                    ),
                )
                for sequence in sequences
                if sequence.sample is not None and (asked := sequence.sample.logprobs) is not None
            },
        )

    def _next(self, sequence: ScheduledSequence, history: list[TokenId]) -> TokenId:
        prompt = history[: sequence.num_prompt_tokens]
        produced = sequence.next_position - sequence.num_prompt_tokens
        banned = sequence.sample.banned_token_ids if sequence.sample else ()
        ends = self._options.reply is FakeReply.ECHO_ONCE and produced >= len(prompt)
        if ends and self._options.eos_token_id not in banned:
            return self._options.eos_token_id
        allowed = [token for token in prompt if token not in banned] or prompt
        return allowed[produced % len(allowed)]
