"""Runs several policies through the same workload."""

from collections.abc import Sequence
from dataclasses import dataclass

from engine_svc.core.scheduler.base import Bounds, SchedulerConfig
from steeple_cli.planning.figures import Figures
from steeple_cli.planning.policy import make_policy
from steeple_cli.planning.record import Simulation
from steeple_cli.planning.report import figures_of
from steeple_cli.planning.simulate import simulate
from steeple_cli.planning.step_time import StepTime
from steeple_cli.planning.trace import Trace, TraceRow
from steeple_cli.planning.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What is to be compared."""

    policies: Sequence[str]
    bounds: Bounds
    num_blocks: int | None
    """None = enough for max_num_seqs requests of full length."""
    workload: Workload
    step_time: StepTime
    max_trace_rows: int | None
    """None = all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one policy made of the workload."""

    policy: str
    config: SchedulerConfig
    simulation: Simulation
    figures: Figures
    trace: tuple[TraceRow, ...]


def compare(wanted: Comparison) -> list[Outcome]:
    """Simulate each policy.

    Raises:
        PlanRefused: one of them cannot work within the bounds; nothing is simulated then.
    """
    made = [make_policy(n, wanted.bounds, num_blocks=wanted.num_blocks) for n in wanted.policies]
    outcomes = []
    for policy in made:
        trace = Trace(wanted.max_trace_rows)
        simulation = simulate(policy.scheduler, wanted.workload, wanted.step_time, trace)
        outcomes.append(
            Outcome(
                policy=policy.name,
                config=policy.config,
                simulation=simulation,
                figures=figures_of(simulation, num_blocks=policy.config.num_blocks),
                trace=tuple(trace.rows),
            )
        )
    return outcomes
