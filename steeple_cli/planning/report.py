"""Adds a simulation up to its figures."""

from collections.abc import Callable
from itertools import pairwise

from steeple_cli.load.percentiles import percentiles
from steeple_cli.planning.figures import (
    Counts,
    Figures,
    Latencies,
    Pauses,
    Rates,
    Spared,
    Use,
    Waste,
)
from steeple_cli.planning.record import Cause, Simulation
from steeple_cli.planning.step_work import StepWork


def figures_of(simulation: Simulation, *, num_blocks: int) -> Figures:
    """All figures.

    Args:
        simulation: at its end.
        num_blocks: size of the KV cache.
    """
    counts = _counts(simulation)
    return Figures(
        counts=counts,
        rates=_rates(simulation, counts.span_s),
        use=_use(simulation, counts.span_s, num_blocks),
        latencies=_latencies(simulation),
        waste=_waste(simulation),
        spared=_spared(simulation),
        pauses=_pauses(simulation),
    )


def _counts(simulation: Simulation) -> Counts:
    requests, steps = simulation.requests, simulation.steps
    first = min((r.arrival_s for r in requests), default=0.0)
    return Counts(
        num_finished=len(requests),
        num_refused=len(simulation.refusals),
        num_steps=len(steps),
        num_prompt_steps=_total(simulation, lambda work: work.num_prompt_tokens > 0),
        num_preemptions=sum(step.num_preempted for step in steps),
        span_s=max((r.end_s for r in requests), default=first) - first,
    )


def _rates(simulation: Simulation, span_s: float) -> Rates:
    requests = simulation.requests
    return Rates(
        requests_per_s=_ratio(len(requests), span_s),
        prompt_tokens_per_s=_ratio(sum(r.prompt_len for r in requests), span_s),
        output_tokens_per_s=_ratio(sum(len(r.token_times_s) for r in requests), span_s),
    )


def _use(simulation: Simulation, span_s: float, num_blocks: int) -> Use:
    requests, steps = simulation.requests, simulation.steps
    num_decodes = _total(simulation, lambda work: work.num_decodes)
    num_decode_steps = _total(simulation, lambda work: work.num_decodes > 0)
    return Use(
        busy_share=_ratio(sum(step.interval.length_s for step in steps), span_s),
        mean_seats=_ratio(sum(r.end_s - r.start_s for r in requests), span_s),
        mean_decodes=_ratio(num_decodes, num_decode_steps),
        peak_blocks=max((step.num_used_blocks for step in steps), default=0),
        num_blocks=num_blocks,
    )


def _latencies(simulation: Simulation) -> Latencies:
    requests = simulation.requests
    pairs = (pair for r in requests for pair in pairwise(r.token_times_s))
    return Latencies(
        queue_s=percentiles(r.start_s - r.arrival_s for r in requests),
        ttft_s=percentiles(r.first_token_s - r.arrival_s for r in requests),
        itl_s=percentiles(after - before for before, after in pairs),
        total_s=percentiles(r.end_s - r.arrival_s for r in requests),
    )


def _waste(simulation: Simulation) -> Waste:
    num_prompt_tokens = _total(simulation, lambda work: work.num_prompt_tokens)
    num_prompt_positions = _total(simulation, lambda work: work.num_prompt_positions)
    num_kv_tokens = _total(simulation, lambda work: work.num_decode_kv_tokens)
    num_kv_positions = _total(simulation, lambda work: work.num_decode_kv_positions)
    return Waste(
        prompt_padding=_ratio(num_prompt_positions - num_prompt_tokens, num_prompt_positions),
        decode_padding=_ratio(num_kv_positions - num_kv_tokens, num_kv_positions),
        num_recomputed_tokens=_total(simulation, lambda work: work.num_recomputed_tokens),
    )


def _spared(simulation: Simulation) -> Spared:
    num_cached = sum(r.num_cached_tokens for r in simulation.requests)
    num_prompt_tokens = sum(r.prompt_len for r in simulation.requests)
    return Spared(num_cached_tokens=num_cached, cached_share=_ratio(num_cached, num_prompt_tokens))


def _pauses(simulation: Simulation) -> Pauses:
    decode_s = sum(r.end_s - r.first_token_s for r in simulation.requests)
    limit_s, prompt_s, preemption_s = (
        _paused_s(simulation, cause) for cause in (Cause.LIMIT, Cause.PROMPT, Cause.PREEMPTION)
    )
    return Pauses(
        limit_s=limit_s,
        limit_share=_ratio(limit_s, decode_s),
        prompt_s=prompt_s,
        prompt_share=_ratio(prompt_s, decode_s),
        preemption_s=preemption_s,
        preemption_share=_ratio(preemption_s, decode_s),
    )


def _paused_s(simulation: Simulation, cause: Cause) -> float:
    pauses = (pause for r in simulation.requests for pause in r.pauses)
    return sum(pause.interval.length_s for pause in pauses if pause.cause is cause)


def _total(simulation: Simulation, count: Callable[[StepWork], int]) -> int:
    return sum(count(step.work) for step in simulation.steps)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
