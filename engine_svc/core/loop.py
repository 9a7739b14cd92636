"""The engine's loop: commands → schedule → execute → update → events, on one thread.

Everything that changes a request happens between two steps, here.
"""

from collections.abc import Callable, Sequence
from typing import assert_never

from engine_svc.core.fault_window import FaultWindow
from engine_svc.core.guarded_runner import CoreSickError, GuardedRunner
from engine_svc.core.messages import (
    DEFAULT_MAX_FAULTY_REQUESTS,
    AbortRequests,
    AddRequest,
    Command,
    Ping,
    Start,
    StepOutputs,
    Stop,
)
from engine_svc.core.outputs import RequestOutput, RowFault
from engine_svc.core.pipe import CorePipe
from engine_svc.core.runner.base import ModelRunner
from engine_svc.core.scheduler.base import Never, Scheduler


class EngineLoop:
    """Runs until told to stop.

    Args:
        scheduler: the policy.
        runner: loaded and warmed up.
        pipe: where commands come from and events go.
        clock: monotonic seconds.
        max_faulty_requests: so many that fail within a minute end the core.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        runner: ModelRunner,
        pipe: CorePipe,
        clock: Callable[[], float],
        *,
        max_faulty_requests: int = DEFAULT_MAX_FAULTY_REQUESTS,
    ) -> None:
        self._scheduler = scheduler
        # A step in parts must not look like one that is stuck.
        self._runner = GuardedRunner(runner, lambda: self._tell((), 0.0))
        self._pipe = pipe
        self._clock = clock
        self._faults = FaultWindow(max_faulty_requests)
        self._stopping = False
        self._is_unchecked = False
        self._num_obeyed = 0
        self._num_steps = 0
        self._num_output_tokens = 0

    def run(self) -> None:
        """Serve until Stop.

        Raises:
            PeerGone: the front is gone.
            CoreSickError: steps fail, or too many requests do; the process must be replaced.
            Exception: the core is wrong; likewise.
        """
        while not self._stopping:
            commands = self._pipe.receive(wait=not self._scheduler.has_requests)
            outputs = [output for command in commands for output in self._obey(command)]
            outputs += self._scheduler.expire(self._clock())
            stepped, step_s = self._step()
            outputs += stepped
            # Told even without outputs: silence means that a step takes long.
            self._tell(outputs, step_s)
            if self._faults.note(outputs, self._clock()):
                raise CoreSickError("too many requests failed within a minute")
            if self._is_unchecked and not self._scheduler.has_requests:
                self._scheduler.check_integrity()
                self._is_unchecked = False

    def _obey(self, command: Command) -> list[RequestOutput]:
        self._num_obeyed += 1
        match command:
            case Start():
                raise TypeError("a core starts once")
            case AddRequest():
                return self._add(command)
            case AbortRequests():
                self._scheduler.abort_requests(command.request_ids)
            case Ping():
                # Now: what came with it may take a long step.
                self._tell((), 0.0)
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
        self._is_unchecked = True
        return []

    def _step(self) -> tuple[Sequence[RequestOutput], float]:
        """What a step did and how long it took; nothing and 0 where none can run."""
        begin = self._clock()
        step = self._scheduler.schedule(begin)
        if step is None:
            return (), 0.0
        result = self._runner.execute(step)
        end = self._clock()
        outputs = self._scheduler.update_from_output(step, result, end)
        self._num_steps += 1
        self._num_output_tokens += sum(len(output.token_ids) for output in outputs)
        return outputs, end - begin

    def _tell(self, outputs: Sequence[RequestOutput], step_s: float) -> None:
        self._pipe.send(
            [
                StepOutputs(
                    outputs=tuple(outputs),
                    load=self._scheduler.load(),
                    num_steps=self._num_steps,
                    num_output_tokens=self._num_output_tokens,
                    num_obeyed=self._num_obeyed,
                    is_idle=not self._scheduler.has_requests,
                    step_s=step_s,
                )
            ]
        )
