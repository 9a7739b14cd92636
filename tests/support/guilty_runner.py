"""A runner that raises whenever a step computes somebody who is guilty, and checks every layout."""

from collections.abc import Collection

from engine_svc.core.narrowing import narrowed
from engine_svc.core.outputs import PaddedPaged, RunnerOutput, SchedulerOutput, StaticShape
from engine_svc.core.params import RequestId
from engine_svc.core.runner.base import StepRunner


class GuiltyRunner:
    """See `runner.base.StepRunner`.

    Args:
        runner: computes what does not raise.
        guilty: requests that make a step raise when it has written half of its sequences.
        is_sick: everything raises, the probe too.
    """

    def __init__(
        self, runner: StepRunner, guilty: Collection[RequestId] = (), *, is_sick: bool = False
    ) -> None:
        self._runner = runner
        self.guilty = guilty
        self.is_sick = is_sick
        self.steps: list[tuple[RequestId, ...]] = []
        """Who was in each step; nobody where it only copied blocks."""
        self.num_probes = 0

    def execute(self, step: SchedulerOutput) -> RunnerOutput:
        """Run a step unless somebody is guilty."""
        check_layout(step)
        ids = tuple(sequence.request_id for sequence in step.sequences)
        self.steps.append(ids)
        if self.is_sick or any(request_id in self.guilty for request_id in ids):
            self._runner.execute(narrowed(step, ids[: len(ids) // 2]))
            raise RuntimeError("guilty")
        return self._runner.execute(step)

    def probe(self) -> None:
        """Raise if sick."""
        self.num_probes += 1
        if self.is_sick:
            raise RuntimeError("sick")


def check_layout(step: SchedulerOutput) -> None:
    """Fail unless the geometry of a step has a place for each of its sequences."""
    ids = [sequence.request_id for sequence in step.sequences]
    if isinstance(step.layout, PaddedPaged):
        assert len(step.layout.left_pads) == len(ids) <= step.layout.num_rows
        ends = [
            pad + sequence.next_position
            for pad, sequence in zip(step.layout.left_pads, step.sequences, strict=True)
        ]
        assert all(end <= step.layout.tkv for end in ends)
    if isinstance(step.layout, StaticShape):
        assert [row for row in step.layout.rows if row is not None] == ids
        assert len(step.layout.rows) == len(step.layout.left_pads) == step.layout.batch_size
