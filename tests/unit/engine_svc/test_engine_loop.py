"""The loop between two steps: what it hears, what it runs, what it tells."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from engine_svc.core.guarded_runner import CoreSickError
from engine_svc.core.loop import EngineLoop
from engine_svc.core.messages import (
    AbortRequests,
    AddRequest,
    Command,
    Event,
    Ping,
    StepOutputs,
    Stop,
)
from engine_svc.core.models.description import ModelDescription
from engine_svc.core.outputs import RunnerOutput, SchedulerOutput
from engine_svc.core.params import RequestId
from engine_svc.core.runner.fake import FakeRunner
from engine_svc.core.runner.fake_options import FakeOptions
from engine_svc.core.scheduler.continuous import ContinuousScheduler
from tests.support.requests import GREEDY, request_spec, scheduler_config

CRASH = 77
DESCRIPTION = ModelDescription(
    directory=Path(),
    architecture="Fake",
    vocab_size=1000,
    max_model_len=64,
    eos_token_ids=(),
    default_sampling=GREEDY,
    config={},
)


class ScriptedPipe:
    """Hands out one batch of commands per step, then stops; keeps the events."""

    def __init__(self, *batches: list[Command]) -> None:
        self._batches = list(batches)
        self.events: list[StepOutputs] = []

    def receive(self, *, wait: bool) -> list[Command]:
        if self._batches:
            return self._batches.pop(0)
        return [Stop()] if wait else []

    def send(self, events: Sequence[Event]) -> None:
        self.events += [event for event in events if isinstance(event, StepOutputs)]


class RecordingRunner(FakeRunner):
    """Remembers which requests each step computed."""

    def __init__(self) -> None:
        super().__init__(DESCRIPTION, FakeOptions(raise_token_id=CRASH))
        self.warm_up(num_blocks=64, block_size=4)
        self.steps: list[list[str]] = []

    def execute(self, step: SchedulerOutput) -> RunnerOutput:
        self.steps.append([str(sequence.request_id) for sequence in step.sequences])
        return super().execute(step)


def run(*batches: list[Command]) -> tuple[RecordingRunner, ScriptedPipe]:
    """Run the loop over a script."""
    pipe, runner = ScriptedPipe(*batches), RecordingRunner()
    EngineLoop(ContinuousScheduler(scheduler_config()), runner, pipe, lambda: 0.0).run()
    return runner, pipe


def add(name: str, prompt: int | tuple[int, ...] = 2, max_tokens: int = 3) -> Command:
    """A request arrives."""
    return AddRequest(spec=request_spec(name, prompt, max_tokens))


def test_each_step_tells_once_what_it_did() -> None:
    """One message per step, with the load after it."""
    runner, pipe = run([add("a"), add("b")])
    assert runner.steps == [["a", "b"]] * 3
    told = [event for event in pipe.events if event.outputs]
    assert [len(event.outputs) for event in told] == [2, 2, 2]
    assert told[-1].load.num_used_blocks == 0
    assert told[-1].num_output_tokens == 6


def test_an_abort_is_obeyed_before_the_next_step() -> None:
    """The aborted request is in no step after the one that ran when the abort came."""
    abort = AbortRequests(request_ids=(RequestId("a"),))
    runner, pipe = run([add("a", 2, 50), add("b", 2, 4)], [], [abort])
    assert runner.steps == [["a", "b"], ["a", "b"], ["b"], ["b"]]
    assert pipe.events[2].load.num_used_blocks == 1


def test_what_can_never_fit_is_told_and_not_queued() -> None:
    """Without a step."""
    runner, pipe = run([add("a", 2, 5000)])
    (output,) = pipe.events[0].outputs
    assert output.fault is not None
    assert output.fault.reason == "NEVER_FITS"
    assert runner.steps == []


def test_a_step_that_raises_fails_its_requests_only() -> None:
    """The next one is served."""
    runner, pipe = run([add("bad", (CRASH,))], [add("good", 2, 1)])
    faults = {o.request_id: o.fault for e in pipe.events for o in e.outputs}
    bad, good = faults[RequestId("bad")], faults[RequestId("good")]
    assert bad is not None
    assert bad.reason == "STEP_FAILED"
    assert good is None
    assert runner.steps == [["bad"], ["good"]]


def test_neighbours_of_a_request_that_makes_steps_raise_get_their_tokens() -> None:
    """Of the very step that raised, and all later ones."""
    _, pipe = run([add("a"), add("bad", (CRASH,)), add("b")])
    outputs = [output for event in pipe.events for output in event.outputs]
    faults = {o.request_id: o.fault.reason for o in outputs if o.fault}
    assert faults == {"bad": "STEP_FAILED"}
    assert sum(len(o.token_ids) for o in outputs if o.request_id == "a") == 3
    assert sum(len(o.token_ids) for o in outputs if o.request_id == "b") == 3
    assert pipe.events[-1].load.num_used_blocks == 0


def test_too_many_failed_requests_within_a_minute_end_the_loop() -> None:
    """They are told before it ends: something is broken that no request explains."""
    pipe = ScriptedPipe(*([add(f"bad{i}", (CRASH,))] for i in range(3)))
    loop = EngineLoop(
        ContinuousScheduler(scheduler_config()),
        RecordingRunner(),
        pipe,
        lambda: 0.0,
        max_faulty_requests=3,
    )
    with pytest.raises(CoreSickError, match="too many"):
        loop.run()
    assert sum(output.fault is not None for e in pipe.events for output in e.outputs) == 3


def test_each_step_tells_how_long_it_took() -> None:
    """And 0 where none ran."""
    ticks = iter(range(1000))
    pipe = ScriptedPipe([add("a", 2, 1)], [])
    EngineLoop(
        ContinuousScheduler(scheduler_config()), RecordingRunner(), pipe, lambda: float(next(ticks))
    ).run()
    assert [event.step_s > 0 for event in pipe.events] == [True, False, False]


def test_a_ping_is_answered_before_the_step_of_what_came_with_it() -> None:
    """The step may be a long one; the answer does not say that the core is idle for long."""
    runner, pipe = run([Ping(), add("a", 2, 1)])
    answer, stepped, *_ = pipe.events
    assert (answer.num_obeyed, answer.num_steps, answer.step_s) == (1, 0, 0.0)
    assert (stepped.num_obeyed, stepped.num_steps) == (2, 1)
    assert runner.steps == [["a"]]


def test_each_step_tells_whether_there_is_more_to_do() -> None:
    """And how many commands it has obeyed: only both together mean that it is idle."""
    _, pipe = run([Ping()], [add("a"), add("b")])
    told = [(event.num_obeyed, event.is_idle) for event in pipe.events[1:-1]]
    assert told == [(1, True), (3, False), (3, False), (3, True)]


class CountingScheduler(ContinuousScheduler):
    """Counts how often it is checked."""

    num_checks = 0

    def check_integrity(self) -> None:
        self.num_checks += 1
        super().check_integrity()


def test_the_books_are_checked_once_when_the_last_request_is_gone() -> None:
    """Not for every ping: a check looks at each block there is."""
    abort = AbortRequests(request_ids=(RequestId("b"),))
    scheduler = CountingScheduler(scheduler_config())
    for script, num_checks in (
        ([[Ping()]], 0),
        ([[add("a", 2, 1)], [Ping()], [Ping()]], 1),
        ([[add("b", 2, 9)], [abort], [Ping()]], 2),
    ):
        EngineLoop(scheduler, RecordingRunner(), ScriptedPipe(*script), lambda: 0.0).run()
        assert scheduler.num_checks == num_checks
