"""Step traces of a scheduler, replayed through the real policies.

A file of traces says how to read it in its own `meta`: row s is the state after s steps, with the
requests that arrive at s in the queue; rows that are left out are plain decodes.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine_svc.core.batching import BatchingOptions, Join, OverLimit, PauseOrder, WarmupShape
from engine_svc.core.errors import StartupError
from engine_svc.core.geometry.blocks import num_blocks
from engine_svc.core.scheduler.base import Bounds, Scheduler, SchedulerConfig
from engine_svc.core.scheduler.registry import SCHEDULERS
from tests.support.trace_file import UnknownTrace, check_file, check_settings

Row = Mapping[str, Any]

POLICIES = {
    "cb_padded": "spyre_continuous",
    "cb_shift": "spyre_continuous",
    "chunked": "spyre_chunked",
    "chunked_prefix": "spyre_chunked",
    "static": "static",
}
_ENV_PREFIXES = ("SENDNN_INFERENCE_", "VLLM_SPYRE_")
_ENV_NAMES = {
    "CP_INTERLEAVE_STEPS": "interleave",
    "PAUSING_ENABLED": "pausing",
    "LONG_OUT_PRIO": "long_output_first",
}
_CONFIG_NAMES = {
    *("shapes", "max_num_seqs", "max_model_len", "chunk_size", "available_blocks"),
    *("max_batch_tkv_limit", "prefix_caching", "pausing", "interleave", "long_output_first"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A request of a trace."""

    id: str
    prompt_len: int
    max_tokens: int
    step: int
    segments: tuple[tuple[Any, int, int], ...]
    """(seed, first, end): equal (seed, index) = equal token; a seed "outN" is N's output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One trace of a file."""

    mode: str
    name: str
    config: Mapping[str, Any]
    arrivals: tuple[Arrival, ...]
    rows: tuple[Row, ...]
    """Of every step, the left-out ones filled in."""

    @property
    def title(self) -> str:
        """As --only names it."""
        return f"{self.mode}/{self.name}"


def read_traces(path: Path) -> list[Trace]:
    """All traces of a file, in order.

    Raises:
        OSError: the file cannot be read.
        UnknownTrace: it is no file of traces, or has a mode that no policy stands for.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UnknownTrace(f"no JSON: {error}") from None
    check_file(raw)
    modes = raw["modes"]
    return [_trace(mode, trace) for mode, part in modes.items() for trace in part["traces"]]


def _trace(mode: str, raw: Mapping[str, Any]) -> Trace:
    if mode not in POLICIES:
        raise UnknownTrace(f"mode {mode}: known are {', '.join(POLICIES)}")
    config = _flat(raw["config"])
    check_settings(config, is_static=POLICIES[mode] == "static")
    return Trace(
        mode=mode,
        name=raw["name"],
        config=config,
        arrivals=tuple(_arrival(request) for request in raw["requests"]),
        rows=tuple(_filled(raw["steps"])),
    )


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with those that are given as environment variables."""
    flat = {name: value for name, value in config.items() if name != "env"}
    variables = config.get("env", {})
    if not isinstance(variables, dict):
        raise UnknownTrace("env is an object of variables")
    for variable, value in variables.items():
        bare = next((variable[len(p) :] for p in _ENV_PREFIXES if variable.startswith(p)), "")
        if bare not in _ENV_NAMES:
            raise UnknownTrace(f"environment variable {variable}")
        flat[_ENV_NAMES[bare]] = str(value) not in {"0", "", "False", "false"}
    if unknown := set(flat) - _CONFIG_NAMES:
        raise UnknownTrace(f"settings {', '.join(sorted(unknown))}")
    return flat


def _arrival(raw: Mapping[str, Any]) -> Arrival:
    segments = raw.get("prompt_segments") or [[f"prompt{raw['id']}", 0, raw["prompt_len"]]]
    return Arrival(
        id=raw["id"],
        prompt_len=raw["prompt_len"],
        max_tokens=raw["max_tokens"],
        step=raw["arrival_step"],
        segments=tuple(tuple(part) for part in segments),
    )


def _filled(rows: list[dict[str, Any]]) -> Iterator[Row]:
    """The rows with those between them: plain decodes, the same but for tkv + 1."""
    last: dict[str, Any] = {}
    for row in rows:
        while last and last["step"] + 1 < row["step"]:
            last = _next_decode(last)
            yield last
        last = row
        yield row


def _next_decode(row: Row) -> dict[str, Any]:
    kept = ("waiting", "running", "outputs", "n_used_blocks", "n_reserved_blocks", "shape")
    counted = ("step", "tkv", "kv_len")
    return {
        **{name: row[name] for name in kept if name in row},
        **{name: row[name] + 1 for name in counted if row.get(name) is not None},
        "finished": [],
    }


def make_scheduler(trace: Trace) -> tuple[Scheduler, SchedulerConfig]:
    """The policy that a trace is of, with its settings.

    Raises:
        UnknownTrace: the policy cannot work with them.
    """
    try:
        config = _scheduler_config(trace)
        return SCHEDULERS[POLICIES[trace.mode]](config), config
    except StartupError as error:
        raise UnknownTrace(f"{trace.title}: {error}") from None


def _scheduler_config(trace: Trace) -> SchedulerConfig:
    if trace.mode == "static":
        return _static_config(trace.config)
    given = trace.config
    max_num_seqs, max_model_len = given["max_num_seqs"], given["max_model_len"]
    available = given.get("available_blocks")
    return SchedulerConfig(
        num_blocks=max_num_seqs * num_blocks(max_model_len) if available is None else available,
        block_size=64,
        max_model_len=max_model_len,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=given.get("chunk_size", 512),
        options=_options(trace),
    )


def _options(trace: Trace) -> BatchingOptions:
    given = trace.config
    most_first = given.get("long_output_first", False)
    return BatchingOptions(
        max_batch_tkv=given.get("max_batch_tkv_limit"),
        join=Join.WAIT if trace.mode == "cb_padded" else Join.SHIFT,
        interleave=given.get("interleave", True),
        over_limit=OverLimit.PAUSE if given.get("pausing", True) else OverLimit.LOOK_AHEAD,
        pause_order=PauseOrder.MOST_FIRST if most_first else PauseOrder.FEWEST_FIRST,
        prefix_caching=given.get("prefix_caching", trace.mode == "chunked_prefix"),
    )


def _static_config(given: Mapping[str, Any]) -> SchedulerConfig:
    shapes = tuple(
        WarmupShape(prompt_len=prompt, new_tokens=new, batch_size=batch)
        for prompt, new, batch in given["shapes"]
    )
    bounds = SCHEDULERS["static"].settle(
        Bounds(
            model_max_len=1 << 20,
            max_model_len=None,
            max_num_seqs=1,
            max_num_batched_tokens=1,
            block_size=64,
            options=BatchingOptions(shapes=shapes),
        )
    )
    assert bounds.max_model_len is not None
    return SchedulerConfig(
        num_blocks=bounds.max_num_seqs * num_blocks(bounds.max_model_len),
        block_size=64,
        max_model_len=bounds.max_model_len,
        max_num_seqs=bounds.max_num_seqs,
        max_num_batched_tokens=1,
        options=bounds.options,
    )
