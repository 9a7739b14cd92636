"""Runs a step although some of its requests make it raise: they fail, the others get their tokens.

    step raises → its halves, and theirs → whoever raises alone is guilty, if the runner is well

A part that passes shows that the runner is well; while none has, its probe must.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from engine_svc.core.narrowing import copies_alone, halves, narrowed
from engine_svc.core.outputs import RowFault, RunnerOutput, SchedulerOutput
from engine_svc.core.params import RequestId
from engine_svc.core.runner.base import CacheCorruptError, StepRunner
from steeple_rpc.telemetry import logger

MAX_PARTS = 32
"""Parts of one step that are run: enough to find one request among 65,536, or a handful."""
MAX_STRIKES = 3
"""Steps in a row of which several requests raised, each alone, and nobody passed."""

STEP_FAILED = RowFault(reason="STEP_FAILED", message="the step that computed this failed")


class CoreSickError(Exception):
    """Steps fail and no request explains it: the process must be replaced."""


class GuardedRunner:
    """Executes steps; only what no request explains is raised.

    Args:
        runner: loaded and warmed up.
        on_part: called before each part is run: a step in parts takes longer than others.
    """

    def __init__(self, runner: StepRunner, on_part: Callable[[], None]) -> None:
        self._runner = runner
        self._on_part = on_part
        self._num_strikes = 0

    def execute(self, step: SchedulerOutput) -> RunnerOutput:
        """Run one step; the requests that make it raise have the fault STEP_FAILED.

        Raises:
            CoreSickError: the runner fails whatever it computes.
            CacheCorruptError: the step contradicts the ones before it.
        """
        if step.block_copies:
            # Once, and in front: parts may run again, copies may not.
            self._copy(step)
        whole = narrowed(step, [sequence.request_id for sequence in step.sequences])
        result = self._tried(whole)
        if isinstance(result, Exception):
            logger().error(
                "step_failed", step=step.step, sequences=len(step.sequences), exc_info=result
            )
            return self._isolated(whole)
        self._num_strikes = 0
        return result

    def _copy(self, step: SchedulerOutput) -> None:
        if isinstance(error := self._tried(copies_alone(step)), Exception):
            raise CoreSickError("copying blocks failed") from error

    def _tried(self, step: SchedulerOutput) -> RunnerOutput | Exception:
        """The result of a step, or of a part of one; or what it raised."""
        try:
            return self._runner.execute(step)
        except CacheCorruptError:
            raise
        except Exception as error:  # noqa: BLE001 - the loop's border: a model may raise anything
            return error

    def _isolated(self, step: SchedulerOutput) -> RunnerOutput:
        """The result of a step that raised: tokens, and a fault for each guilty request."""
        search = _Search(raised=[step])
        while search.raised:
            suspect = search.raised.pop()
            if len(suspect.sequences) > 1:
                self._split(suspect, search)
            else:
                if not search.passed and not search.guilty:
                    self._probe()
                search.guilty.append(suspect.sequences[0].request_id)
        logger().error("step_isolated", step=step.step, num_guilty=len(search.guilty))
        self._count_strike(search)
        return search.result()

    def _split(self, suspect: SchedulerOutput, search: "_Search") -> None:
        """Run both halves of a part that raised."""
        for part in halves(suspect):
            search.num_parts += 1
            if search.num_parts > MAX_PARTS:
                raise CoreSickError(f"a step fails in more than {MAX_PARTS} parts")
            self._on_part()
            result = self._tried(part)
            if isinstance(result, Exception):
                search.raised.append(part)
            else:
                search.passed.append(result)

    def _probe(self) -> None:
        try:
            self._runner.probe()
        except Exception as error:
            raise CoreSickError("the probe failed too") from error

    def _count_strike(self, search: "_Search") -> None:
        """A lone request explains its failure; several that all fail do so less and less."""
        if search.passed:
            self._num_strikes = 0
        elif len(search.guilty) > 1:
            self._num_strikes += 1
        if self._num_strikes >= MAX_STRIKES:
            raise CoreSickError(f"nobody passed in {MAX_STRIKES} steps in a row")


@dataclass(slots=True, kw_only=True)
class _Search:
    """Who makes a step raise, as far as it is known."""

    raised: list[SchedulerOutput]
    """Parts that raised and whose halves have not run."""
    passed: list[RunnerOutput] = field(default_factory=list)
    guilty: list[RequestId] = field(default_factory=list)
    num_parts: int = 0

    def result(self) -> RunnerOutput:
        """Tokens of those who passed, faults of the others."""
        faults = {i: fault for part in self.passed for i, fault in part.faults.items()}
        return RunnerOutput(
            token_ids={i: ids for part in self.passed for i, ids in part.token_ids.items()},
            faults=faults | dict.fromkeys(self.guilty, STEP_FAILED),
            logprobs={i: told for part in self.passed for i, told in part.logprobs.items()},
        )
