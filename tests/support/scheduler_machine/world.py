"""One policy from arrival to end, checked at every step."""

from collections.abc import Collection
from dataclasses import replace
from enum import Enum, auto
from pathlib import Path

import structlog

from engine_svc.core.guarded_runner import STEP_FAILED, GuardedRunner
from engine_svc.core.models.description import ModelDescription
from engine_svc.core.outputs import RequestOutput, RowFault, RunnerOutput, SchedulerOutput
from engine_svc.core.params import RequestId, SamplingParams
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core.runner.fake import FakeRunner
from engine_svc.core.runner.fake_options import FakeOptions
from engine_svc.core.scheduler.base import Never, SchedulerConfig
from engine_svc.core.scheduler.continuous import ContinuousScheduler
from engine_svc.core.scheduler.registry import SCHEDULERS
from tests.support.guilty_runner import GuiltyRunner
from tests.support.rules.continuous import ContinuousRules
from tests.support.rules.registry import CHECKERS
from tests.support.scheduler_machine.expected import Owed

STEP_S = 1.0
FAULT = RowFault(reason="DRAWN", message="drawn by the test")
MAX_STEPS_TO_DRAIN = 20_000
DESCRIPTION = ModelDescription(
    directory=Path(),
    architecture="Fake",
    vocab_size=1 << 20,
    max_model_len=1 << 20,
    eos_token_ids=(),
    default_sampling=SamplingParams(temperature=0.0),
    config={},
)


class Failure(Enum):
    """What goes wrong in a step."""

    NOTHING = auto()
    ROW = auto()
    """The runner answers, but one row is useless."""
    STEP = auto()
    """The runner raises when it has written the first half of the sequences."""
    GUILTY = auto()
    """One sequence makes every step raise that it is in."""


class World:
    """Drives a scheduler as the loop does, with a clock of its own.

    Args:
        policy: its name in the registry.
        config: bounds that the policy accepts.
    """

    def __init__(self, policy: str, config: SchedulerConfig) -> None:
        self.config = config
        self.scheduler = SCHEDULERS[policy](config)
        self.owed: dict[RequestId, Owed] = {}
        self.now = 100.0
        self._checker = CHECKERS[policy](config)
        self._runner = FakeRunner(DESCRIPTION, FakeOptions())
        self._runner.warm_up(num_blocks=config.num_blocks, block_size=config.block_size)
        self._num_arrived = 0

    def arrive(self, spec: RequestSpec) -> bool:
        """Offer a request; tells whether it was accepted: exactly if it could run alone."""
        can_run = self._checker.can_run_alone(spec)
        capacity = self.scheduler.capacity(spec)
        assert isinstance(capacity, Never) is not can_run, (spec, capacity)
        if can_run:
            self.scheduler.add_request(spec, self.now)
            owed = Owed(spec=spec, arrival=self.now, arrival_idx=self._num_arrived)
            self.owed[spec.request_id] = owed
            self._num_arrived += 1
        return can_run

    def abort(self, request_ids: Collection[RequestId]) -> None:
        """End requests; those that live are told."""
        known = [request_id for request_id in request_ids if request_id in self.owed]
        assert list(self.scheduler.abort_requests(request_ids)) == known
        for request_id in known:
            del self.owed[request_id]

    def preempt(self, seat: int) -> None:
        """Preempt one of those that run, if somebody does.

        Args:
            seat: which of them; taken modulo their number.
        """
        seated = sorted(i for i, owed in self.owed.items() if owed.is_seated)
        if seated:
            self.preempt_request(seated[seat % len(seated)])

    def preempt_request(self, request_id: RequestId) -> None:
        """Preempt one that runs; only `continuous` can."""
        assert isinstance(self.scheduler, ContinuousScheduler)
        assert isinstance(self._checker, ContinuousRules)
        self.scheduler.preempt(request_id)
        self._checker.force([request_id])
        self.owed[request_id].is_seated = False

    def step(self, failure: Failure = Failure.NOTHING, row: int = 0) -> bool:
        """Expire, schedule, check, run, update, check; tells whether anything ran.

        Args:
            failure: what goes wrong.
            row: for Failure.ROW, which of the sequences; taken modulo their number.
        """
        self._expire()
        step = self.scheduler.schedule(self.now)
        assert (step is None) == (not self.owed), "whoever lives is served"
        if step is not None:
            self._run(step, failure, row)
        self.now += STEP_S
        self.check_books()
        return step is not None

    def drain(self) -> None:
        """Run until nobody lives: everybody ends, and every block comes back."""
        for _ in range(MAX_STEPS_TO_DRAIN):
            if not self.step():
                break
        assert not self.owed
        assert not self.scheduler.has_requests
        load = self.scheduler.load()
        assert load.num_used_blocks == 0
        assert load.num_free_blocks + load.num_cached_blocks == load.num_total_blocks
        assert self.scheduler.snapshot().num_reserved_blocks == 0

    def check_books(self) -> None:
        """Blocks add up, and everybody is in one place, in the right order."""
        self.scheduler.check_integrity()
        load, snapshot = self.scheduler.load(), self.scheduler.snapshot()
        by_turn = sorted(self.owed.values(), key=lambda owed: owed.known.turn)
        waiting = [owed.spec.request_id for owed in by_turn if not owed.is_seated]
        seated = {i for i, owed in self.owed.items() if owed.is_seated}
        assert list(snapshot.waiting) == waiting
        assert sorted((*snapshot.running, *snapshot.paused)) == sorted(seated)
        assert (load.num_waiting, load.num_running) == (len(waiting), len(seated))
        assert self.scheduler.has_requests or not self.owed
        total = load.num_free_blocks + load.num_cached_blocks + load.num_used_blocks
        assert total == load.num_total_blocks == self.config.num_blocks

    def _expire(self) -> None:
        expired = {i for i, owed in self.owed.items() if owed.is_expired(self.now)}
        told = self.scheduler.expire(self.now)
        assert {output.request_id for output in told} == expired
        for output in told:
            assert output.fault is not None
            del self.owed[output.request_id]

    def _run(self, step: SchedulerOutput, failure: Failure, row: int) -> None:
        self._checker.check(step, {i: owed.known for i, owed in self.owed.items()})
        result = self._execute(step, failure, row)
        self._checker.spoil(tuple(s for s in step.sequences if s.request_id in result.faults))
        self._note_seats(step)
        first_runs = self._note_first_runs(step)
        told = self.scheduler.update_from_output(step, result, self.now)
        sampled = {s.request_id for s in step.sequences if s.sample is not None}
        expected = first_runs | sampled | set(result.faults)
        assert {output.request_id for output in told} == expected
        for output in told:
            self._take(output, result, is_first=output.request_id in first_runs)

    def _execute(self, step: SchedulerOutput, failure: Failure, row: int) -> RunnerOutput:
        ids = [sequence.request_id for sequence in step.sequences]
        match failure:
            case Failure.STEP:
                half = step.sequences[: len(step.sequences) // 2]
                self._runner.execute(replace(step, sequences=half))
                return RunnerOutput(token_ids={}, faults=dict.fromkeys(ids, FAULT))
            case Failure.ROW:
                result = self._runner.execute(step)
                faulty = ids[row % len(ids)]
                tokens = {i: ids for i, ids in result.token_ids.items() if i != faulty}
                return RunnerOutput(token_ids=tokens, faults={faulty: FAULT})
            case Failure.GUILTY:
                guilty = ids[row % len(ids)]
                runner = GuiltyRunner(self._runner, {guilty})
                with structlog.testing.capture_logs():  # tracebacks take their time
                    result = GuardedRunner(runner, lambda: None).execute(step)
                assert result.faults == {guilty: STEP_FAILED}
                return result
            case Failure.NOTHING:
                return self._runner.execute(step)

    def _note_seats(self, step: SchedulerOutput) -> None:
        """Who had to leave its seat; who sits now."""
        for request_id in step.preempted_request_ids:
            if request_id in self.owed:
                self.owed[request_id].is_seated = False
        for sequence in step.sequences:
            self.owed[sequence.request_id].is_seated = True

    def _note_first_runs(self, step: SchedulerOutput) -> set[RequestId]:
        """Who runs for the first time."""
        found = set()
        for sequence in step.sequences:
            owed = self.owed[sequence.request_id]
            if not owed.has_run:
                owed.has_run, owed.first_position = True, sequence.first_position
                found.add(sequence.request_id)
        return found

    def _take(self, told: RequestOutput, result: RunnerOutput, *, is_first: bool) -> None:
        owed = self.owed[told.request_id]
        assert told.fault == result.faults.get(told.request_id)
        if told.fault is not None:
            del self.owed[told.request_id]
            return
        assert told.is_first is is_first
        if is_first:
            assert told.queue_s == self.now - owed.arrival
            spared = min(owed.first_position, owed.spec.num_prompt_tokens)
            assert told.num_cached_tokens == spared
        owed.take(told, self.config.max_model_len)
        if told.finish_reason is not None:
            del self.owed[told.request_id]
