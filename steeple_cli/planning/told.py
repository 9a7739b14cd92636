"""A plan as text for people, or as one JSON object for programs."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from enum import Enum

from engine_svc.core.scheduler.base import SchedulerConfig
from engine_svc.policy_options import READ_BY
from steeple_cli.planning.compare import Comparison, Outcome
from steeple_cli.planning.record import Refusal
from steeple_cli.planning.report_table import figures_table
from steeple_cli.planning.trace import TRACE_COLUMNS, trace_cells
from steeple_cli.showing.columns import aligned

MAX_SHOWN_REFUSALS = 3


def as_text(outcomes: Sequence[Outcome]) -> str:
    """Bounds, steps, figures and refusals, in lines."""
    parts = [*(_bounds(outcome) for outcome in outcomes)]
    parts += [_steps(outcome) for outcome in outcomes if outcome.trace]
    parts.append(figures_table({outcome.policy: outcome.figures for outcome in outcomes}))
    parts += [_refusals(outcome) for outcome in outcomes if outcome.simulation.refusals]
    return "\n\n".join(parts) + "\n"


def as_json(wanted: Comparison, outcomes: Sequence[Outcome]) -> str:
    """Everything but the single tokens, with the names of the values."""
    plan = {
        "step_time": asdict(wanted.step_time),
        "num_requests": len(wanted.workload),
        "policies": [_facts(outcome) for outcome in outcomes],
    }
    return json.dumps(plan, default=_plain, indent=2) + "\n"


def _bounds(outcome: Outcome) -> str:
    config = outcome.config
    reads_budget = outcome.policy in READ_BY["max_num_batched_tokens"]
    budget = f" {config.max_num_batched_tokens} batched tokens," if reads_budget else ""
    return (
        f"{outcome.policy}: context {config.max_model_len}, {config.max_num_seqs} seats,{budget}"
        f" {config.num_blocks} KV blocks of {config.block_size}"
    )


def _steps(outcome: Outcome) -> str:
    rows = [TRACE_COLUMNS, *(trace_cells(row) for row in outcome.trace)]
    return f"{outcome.policy}, after each step (plain decodes left out):\n{aligned(rows)}"


def _refusals(outcome: Outcome) -> str:
    refusals = outcome.simulation.refusals
    return "\n".join([f"{outcome.policy} refuses {len(refusals)}:", *_reasons(refusals)])


def _reasons(refusals: Sequence[Refusal]) -> Iterator[str]:
    for refusal in refusals[:MAX_SHOWN_REFUSALS]:
        yield f"  request {refusal.request_id}: {refusal.reason}"
    if len(refusals) > MAX_SHOWN_REFUSALS:
        yield f"  and {len(refusals) - MAX_SHOWN_REFUSALS} more"


def _facts(outcome: Outcome) -> dict[str, object]:
    return {
        "scheduler": outcome.policy,
        "config": _config_facts(outcome.config),
        "figures": asdict(outcome.figures),
        "refused": [asdict(refusal) for refusal in outcome.simulation.refusals],
        "trace": [asdict(row) for row in outcome.trace],
    }


def _config_facts(config: SchedulerConfig) -> dict[str, object]:
    facts = asdict(config)
    return {**facts.pop("options"), **facts}


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"no JSON for {type(value).__name__}")
