"""Drives a policy through a workload, step by step, on a virtual clock."""

from collections import deque
from collections.abc import Iterable

from engine_svc.core.outputs import RequestOutput, RunnerOutput, SchedulerOutput
from engine_svc.core.params import RequestId
from engine_svc.core.scheduler.base import Never, Scheduler
from steeple_cli.planning.journey import Journey
from steeple_cli.planning.made_up import MadeUpTokens
from steeple_cli.planning.record import (
    Cause,
    Interval,
    Refusal,
    RequestRecord,
    Simulation,
    StepRecord,
)
from steeple_cli.planning.step_time import StepTime
from steeple_cli.planning.step_work import work_of
from steeple_cli.planning.trace import Trace
from steeple_cli.planning.workload import PlannedRequest, Workload


def simulate(
    scheduler: Scheduler, workload: Workload, step_time: StepTime, trace: Trace
) -> Simulation:
    """Run `workload` to its end.

    Args:
        scheduler: a fresh one; it holds nothing afterwards.
        workload: in the order of arrival.
        step_time: how long steps take.
        trace: gets the steps, as far as it wants them.
    """
    return _Simulator(scheduler, workload, step_time, trace).run()


class _Simulator:
    def __init__(
        self, scheduler: Scheduler, workload: Workload, step_time: StepTime, trace: Trace
    ) -> None:
        self._scheduler = scheduler
        self._step_time = step_time
        self._trace = trace
        self._tokens = MadeUpTokens(workload)
        self._planned = {request.request_id: request for request in workload}
        self._coming = deque(workload)
        self._now = 0.0
        self._journeys: dict[RequestId, Journey] = {}
        """Of those that have been started and have not ended."""
        self._preempted: set[RequestId] = set()
        """Those of them that have to start again."""
        self._steps: list[StepRecord] = []
        self._ended: list[RequestRecord] = []
        self._refused: list[Refusal] = []

    def run(self) -> Simulation:
        while self._coming or self._scheduler.has_requests:
            self._receive()
            # A policy may use one call to take blocks back, and then has a step or is done.
            if not (self._step() or self._step()):
                self._wait()
        self._scheduler.check_integrity()
        return Simulation(
            steps=tuple(self._steps), requests=tuple(self._ended), refusals=tuple(self._refused)
        )

    def _receive(self) -> None:
        """Hand over whoever has arrived."""
        while self._coming and self._coming[0].arrival_s <= self._now:
            self._offer(self._coming.popleft())

    def _offer(self, request: PlannedRequest) -> None:
        spec = self._tokens.spec(request)
        capacity = self._scheduler.capacity(spec)
        if isinstance(capacity, Never):
            self._refused.append(Refusal(request_id=request.request_id, reason=capacity.reason))
        else:
            self._scheduler.add_request(spec, request.arrival_s)

    def _wait(self) -> None:
        """Nothing can run: let time pass until somebody comes."""
        if self._coming:
            self._now = max(self._now, self._coming[0].arrival_s)
        else:
            assert not self._scheduler.has_requests, "the policy stands still"  # noqa: S101

    def _step(self) -> bool:
        step = self._scheduler.schedule(self._now)
        if step is None:
            return False
        work = work_of(step)
        interval = Interval(self._now, self._now + self._step_time.seconds(work))
        num_used_blocks = self._scheduler.load().num_used_blocks
        self._note_start(step, interval, has_prompt=work.num_prompt_tokens > 0)
        self._now = interval.end_s
        outputs = self._scheduler.update_from_output(step, self._made_up(step), self._now)
        self._steps.append(
            StepRecord(
                interval=interval,
                work=work,
                num_used_blocks=num_used_blocks,
                num_preempted=len(step.preempted_request_ids),
            )
        )
        self._note_outputs(outputs)
        if self._trace.wants_more:
            self._trace.add(step, interval, outputs, self._scheduler.snapshot())
        return True

    def _note_start(self, step: SchedulerOutput, interval: Interval, *, has_prompt: bool) -> None:
        """Who begins with this step, and who decodes and is left out of it."""
        computed = {sequence.request_id for sequence in step.sequences}
        for sequence in step.sequences:
            if (new := sequence.request_id) not in self._journeys:
                self._journeys[new] = Journey(self._planned[new], interval.start_s)
        self._preempted = (self._preempted | set(step.preempted_request_ids)) - computed
        other = Cause.PROMPT if has_prompt else Cause.LIMIT
        for request_id, journey in self._journeys.items():
            if journey.num_tokens and request_id not in computed:
                is_preempted = request_id in self._preempted
                journey.pause(interval, Cause.PREEMPTION if is_preempted else other)

    def _made_up(self, step: SchedulerOutput) -> RunnerOutput:
        sampled = (s.request_id for s in step.sequences if s.sample is not None)
        return RunnerOutput(token_ids={i: (self._next_token(i),) for i in sampled})

    def _next_token(self, request_id: RequestId) -> int:
        return self._tokens.output_token(request_id, self._journeys[request_id].num_tokens)

    def _note_outputs(self, outputs: Iterable[RequestOutput]) -> None:
        for output in outputs:
            journey = self._journeys[output.request_id]
            journey.take(output, self._now)
            if output.finish_reason is not None:
                self._ended.append(journey.ended(output.finish_reason))
                del self._journeys[output.request_id]
