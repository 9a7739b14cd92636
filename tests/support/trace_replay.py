"""Drives a policy through a trace, one step at a time, and tells where they differ.

Every step also runs on the strict fake runner: a wrong slot or block raises, whatever the trace
says.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine_svc.core.models.description import ModelDescription
from engine_svc.core.outputs import (
    PaddedPaged,
    RequestOutput,
    RunnerOutput,
    SchedulerOutput,
    StaticShape,
)
from engine_svc.core.params import RequestId, SamplingParams, StoppingParams
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core.runner.fake import FakeRunner
from engine_svc.core.runner.fake_options import FakeOptions
from engine_svc.core.scheduler.base import Never
from tests.support.trace_file import UnknownTrace
from tests.support.traces import Arrival, Row, Trace, make_scheduler

_GREEDY = SamplingParams(temperature=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """One field of one row."""

    step: int
    field: str
    expected: object
    got: object

    def __str__(self) -> str:
        return f"step {self.step}: {self.field}: expected {self.expected!r}, got {self.got!r}"


class Replay:
    """A policy on its way through a trace."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._scheduler, config = make_scheduler(trace)
        self._runner = FakeRunner(_description(config.max_model_len), FakeOptions())
        self._runner.warm_up(num_blocks=config.num_blocks, block_size=config.block_size)
        self._tokens: dict[tuple[object, int], int] = {}
        self._num_output: dict[str, int] = {}
        self._hopeless: dict[RequestId, str] = {}
        """Whom the policy would refuse, and why; the reference ran some of them."""
        self._step: SchedulerOutput | None = None
        self._outputs: tuple[RequestOutput, ...] = ()

    def mismatches(self) -> Iterator[Mismatch]:
        """Every field of every row that differs.

        Raises:
            UnknownTrace: a field that nobody knows, or a request that can never run.
        """
        for row in self._trace.rows:
            for arrival in self._trace.arrivals:
                if arrival.step == row["step"]:
                    self._add(self._spec(arrival))
            yield from self._compared(row)
            self._execute()
            self._scheduler.check_integrity()

    def _add(self, spec: RequestSpec) -> None:
        capacity = self._scheduler.capacity(spec)
        if isinstance(capacity, Never):
            self._hopeless[spec.request_id] = capacity.reason
        self._scheduler.add_request(spec, 0.0)

    def _scheduled(self) -> SchedulerOutput | None:
        try:
            return self._scheduler.schedule(0.0)
        except AssertionError:
            unserved = [i for i in self._hopeless if i not in self._num_output]
            if not unserved:  # a fault of the policy, not of the file
                raise
            name = unserved[0]
            raise UnknownTrace(
                f"{self._trace.title}: request {name} can never run: {self._hopeless[name]}"
            ) from None

    def _execute(self) -> None:
        self._step, self._outputs = self._scheduled(), ()
        if self._step is not None:
            self._runner.execute(self._step)
            answer = self._answer(self._step)
            self._outputs = self._scheduler.update_from_output(self._step, answer, 0.0)

    def _answer(self, step: SchedulerOutput) -> RunnerOutput:
        """A new token for everybody who wants one: the trace says that none of them ends early."""
        tokens = {}
        for sequence in step.sequences:
            if sequence.sample is not None:
                count = self._num_output.get(sequence.request_id, 0)
                tokens[sequence.request_id] = (self._token(f"out{sequence.request_id}", count),)
                self._num_output[sequence.request_id] = count + 1
        return RunnerOutput(token_ids=tokens)

    def _token(self, seed: object, idx: int) -> int:
        return self._tokens.setdefault((seed, idx), len(self._tokens) + 1)

    def _spec(self, arrival: Arrival) -> RequestSpec:
        prompt = [
            self._token(seed, idx)
            for seed, first, end in arrival.segments
            for idx in range(first, end)
        ]
        assert len(prompt) == arrival.prompt_len
        return RequestSpec(
            request_id=RequestId(arrival.id),
            prompt_token_ids=tuple(prompt),
            sampling=_GREEDY,
            stopping=StoppingParams(max_tokens=arrival.max_tokens),
        )

    def _compared(self, row: Row) -> Iterator[Mismatch]:
        state = self._state()
        for name, expected in row.items():
            # null = not checked, but for the shape: then there is no batch.
            if name == "step" or (expected is None and name != "shape"):
                continue
            if name not in state:
                raise UnknownTrace(f"field {name} of step {row['step']}")
            if state[name] != expected:
                yield Mismatch(step=row["step"], field=name, expected=expected, got=state[name])

    def _state(self) -> dict[str, Any]:
        """The state as the rows of a trace tell it."""
        now = self._scheduler.snapshot()
        is_worst_case = self._trace.mode.startswith("cb_")
        held = now.num_used_blocks if is_worst_case else 0
        return {
            "tkv": now.tkv,
            "kv_len": now.tkv,
            "shape": self._shape(),
            "waiting": list(now.waiting),
            "running": list(now.running),
            "paused": list(now.paused),
            "outputs": [o.request_id for o in self._outputs if o.token_ids],
            "finished": [o.request_id for o in self._outputs if o.finish_reason],
            "n_used_blocks": now.num_used_blocks,
            "n_reserved_blocks": held + now.num_reserved_blocks,
            "block_tables": {name: list(table) for name, table in now.block_tables.items()},
            "block_ref_count": {str(block): count for block, count in now.block_refs.items()},
            "n_cached_blocks": now.num_reused_blocks,
            "prefill_slot_mappings": self._written(),
        }

    def _shape(self) -> list[int] | None:
        layout = self._step.layout if self._step else None
        if not isinstance(layout, StaticShape):
            return None
        return [layout.prompt_len, layout.new_tokens, layout.batch_size]

    def _written(self) -> dict[str, list[int]]:
        """Per prompt of the last step: the target block of each of its blocks."""
        if self._step is None or not isinstance(self._step.layout, PaddedPaged):
            return {}
        blocks = [int(block) for block in self._step.layout.write_blocks]
        return {str(self._step.sequences[0].request_id): blocks} if blocks else {}


def _description(max_model_len: int) -> ModelDescription:
    return ModelDescription(
        directory=Path(),
        architecture="Fake",
        vocab_size=1 << 30,
        max_model_len=max_model_len,
        eos_token_ids=(),
        default_sampling=_GREEDY,
        config={},
    )
