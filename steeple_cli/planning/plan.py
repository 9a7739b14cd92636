"""`steeple plan`: what batching policies would do with a workload, without a model."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from steeple_cli.conventions.ending import end
from steeple_cli.conventions.exits import USAGE_ERROR
from steeple_cli.planning import options as given
from steeple_cli.planning.choices import option_name
from steeple_cli.planning.compare import Comparison, Outcome, compare
from steeple_cli.planning.counts import checked_count, read_count
from steeple_cli.planning.errors import PlanRefused
from steeple_cli.planning.given_policy import GivenPolicy
from steeple_cli.planning.given_workload import GivenWorkload
from steeple_cli.planning.step_time import StepTime
from steeple_cli.planning.timeline import check_timeline, draw_timeline
from steeple_cli.planning.told import as_json, as_text

DEFAULT_TRACE_ROWS = 20
_MAX_DIGITS = 7
_TIME = StepTime()
_Given = TypeVar("_Given", GivenPolicy, GivenWorkload, StepTime)


def plan(  # noqa: PLR0913 - one parameter per option of the command
    *,
    scheduler: given.Scheduler = None,
    max_model_len: given.MaxModelLen = None,
    max_num_seqs: given.MaxNumSeqs = None,
    max_num_batched_tokens: given.MaxNumBatchedTokens = None,
    block_size: given.BlockSize = None,
    num_blocks: given.NumBlocks = None,
    warmup_shapes: given.WarmupShapes = None,
    join: given.Join = None,
    max_batch_tkv: given.MaxBatchTkv = None,
    min_decode_rows: given.MinDecodeRows = None,
    interleave: given.Interleave = None,
    over_limit: given.OverLimit = None,
    pause_order: given.PauseOrder = None,
    prefix_caching: given.PrefixCaching = None,
    requests_file: given.RequestsFile = None,
    requests: given.Requests = None,
    rate: given.Rate = None,
    prompt_lens: given.PromptLens = None,
    output_lens: given.OutputLens = None,
    max_tokens: given.MaxTokens = None,
    seed: given.Seed = None,
    base_ms: given.StepBaseMs = _TIME.base_ms,
    prefill_us_per_token: given.PrefillUsPerToken = _TIME.prefill_us_per_token,
    decode_us_per_row: given.DecodeUsPerRow = _TIME.decode_us_per_row,
    kv_ns_per_token: given.KvNsPerToken = _TIME.kv_ns_per_token,
    trace: given.Trace = None,
    timeline: given.Timeline = None,
    as_json_: given.Json = False,
) -> None:
    """Simulate batching policies on a workload: latencies, padding.

    Counts may be written as 32k.
    """
    options = locals()  # all of the above, by name
    try:
        options |= {name: read_count(option_name(name), options[name]) for name in given.NUMBERS}
        policy = _filled(GivenPolicy, options)
        workload = _filled(GivenWorkload, options)
        step_time = _filled(StepTime, options)
        wanted = _comparison(policy, workload, step_time, trace)
        if timeline is not None:
            check_timeline(timeline, num_requests=len(wanted.workload))
        outcomes = compare(wanted)
        if timeline is not None:
            _draw(timeline, wanted, outcomes)
    except PlanRefused as error:
        end(USAGE_ERROR, str(error))
    sys.stdout.write(as_json(wanted, outcomes) if as_json_ else as_text(outcomes))


def _filled(kind: type[_Given], options: Mapping[str, Any]) -> _Given:
    """A `kind` from the options that bear the names of its fields."""
    return kind(**{field.name: options[field.name] for field in fields(kind)})


def _comparison(
    policy: GivenPolicy, workload: GivenWorkload, step_time: StepTime, trace: str | None
) -> Comparison:
    return Comparison(
        policies=policy.policies,
        bounds=policy.bounds(),
        num_blocks=policy.num_blocks,
        workload=workload.workload(),
        step_time=step_time,
        max_trace_rows=_trace_rows(trace, policy.policies),
    )


def _trace_rows(given_text: str | None, policies: Sequence[str]) -> int | None:
    """How many rows to keep; None = all. Where policies are compared, none unless asked for."""
    match given_text:
        case None:
            return DEFAULT_TRACE_ROWS if len(policies) == 1 else 0
        case "all":
            return None
        case "none":
            return 0
        case text if text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS:
            return checked_count("--trace", int(text))
        case text:
            raise PlanRefused(f"--trace is a number from 1 up, all or none; it is {text!r}")


def _draw(path: Path, wanted: Comparison, outcomes: Sequence[Outcome]) -> None:
    draw_timeline(
        path,
        {outcome.policy: outcome.simulation.requests for outcome in outcomes},
        [request.request_id for request in wanted.workload],
    )
