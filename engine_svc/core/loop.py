"""The engine's loop: commands → schedule → execute → update → events, on one thread.

Everything that changes a request happens between two steps, here.
"""

from collections.abc import Callable
from typing import assert_never

from engine_svc.core.messages import (
    AbortRequests,
    AddRequest,
    Command,
    Event,
    Start,
    StepOutputs,
    Stop,
)
from engine_svc.core.outputs import RequestOutput, RowFault, RunnerOutput, SchedulerOutput
from engine_svc.core.pipe import CorePipe
from engine_svc.core.runner.base import ModelRunner
from engine_svc.core.scheduler.base import Never, Scheduler
from steeple_rpc.telemetry import logger

MAX_FAILED_STEPS = 3


class EngineLoop:
    """Runs until told to stop.

    Args:
        scheduler: the policy.
        runner: loaded and warmed up.
        pipe: where commands come from and events go.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        runner: ModelRunner,
        pipe: CorePipe,
        clock: Callable[[], float],
    ) -> None:
        self._scheduler = scheduler
        self._runner = runner
        self._pipe = pipe
        self._clock = clock
        self._stopping = False
        self._num_steps = 0
        self._num_output_tokens = 0
        self._num_failed_in_row = 0
        self._step_s = 0.0

    def run(self) -> None:
        """Serve until Stop.

        Raises:
            PeerGone: the front is gone.
            Exception: too many steps in a row failed; the process must be replaced.
        """
        while not self._stopping:
            commands = self._pipe.receive(wait=not self._scheduler.has_requests)
            outputs = [output for command in commands for output in self._obey(command)]
            outputs += self._scheduler.expire(self._clock())
            outputs += self._step()
            # Told even without outputs: silence means that a step takes long.
            self._pipe.send(self._events(outputs))
            if not self._scheduler.has_requests:
                self._scheduler.check_integrity()

    def _obey(self, command: Command) -> list[RequestOutput]:
        match command:
            case Start():
                raise TypeError("a core starts once")
            case AddRequest():
                return self._add(command)
            case AbortRequests():
                self._scheduler.abort_requests(command.request_ids)
            case Stop():
                self._stopping = True
            case _:
                assert_never(command)
        return []

    def _add(self, command: AddRequest) -> list[RequestOutput]:
        capacity = self._scheduler.capacity(command.spec)
        if isinstance(capacity, Never):
            fault = RowFault(reason="NEVER_FITS", message=capacity.reason)
            return [RequestOutput(request_id=command.spec.request_id, fault=fault)]
        self._scheduler.add_request(command.spec, self._clock())
        return []

    def _step(self) -> list[RequestOutput]:
        start = self._clock()
        self._step_s = 0.0
        step = self._scheduler.schedule(start)
        if step is None:
            return []
        result = self._execute(step)
        end = self._clock()
        outputs = self._scheduler.update_from_output(step, result, end)
        self._step_s = end - start
        self._num_steps += 1
        self._num_output_tokens += sum(len(output.token_ids) for output in outputs)
        return list(outputs)

    def _execute(self, step: SchedulerOutput) -> RunnerOutput:
        """Run a step; one that raises fails its requests, several in a row end the process."""
        try:
            result = self._runner.execute(step)
        except Exception:
            self._num_failed_in_row += 1
            logger().exception("step_failed", step=step.step, sequences=len(step.sequences))
            if self._num_failed_in_row >= MAX_FAILED_STEPS:
                raise
            fault = RowFault(reason="STEP_FAILED", message="the step that computed this failed")
            faults = {sequence.request_id: fault for sequence in step.sequences}
            return RunnerOutput(token_ids={}, faults=faults)
        self._num_failed_in_row = 0
        return result

    def _events(self, outputs: list[RequestOutput]) -> list[Event]:
        return [
            StepOutputs(
                outputs=tuple(outputs),
                load=self._scheduler.load(),
                num_steps=self._num_steps,
                num_output_tokens=self._num_output_tokens,
                step_s=self._step_s,
            )
        ]
