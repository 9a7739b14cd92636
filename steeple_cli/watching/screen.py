"""One telling of the load as a picture of text, as wide as the terminal."""

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.text import Text

from steeple_cli.showing.fact_table import Facts, fact_table
from steeple_cli.watching.bar import blocks_bar
from steeple_client import EngineLoad, GatewayLoad, Latency, Load, ModelLoad
from steeple_rpc.errors import ServiceError
from steeple_rpc.sizes import number_text, seconds_text

_NONE = "-"
_BAD = "bold red"


def screen(load: Load, target: str, console: Console, trouble: ServiceError | None) -> Group:
    """The gateway, its models, its engines.

    Args:
        load: the last that was told.
        target: where.
        console: decides the width.
        trouble: why nothing newer is known; None = it is new.
    """
    return Group(*_parts(load, target, console, trouble))


def _parts(
    load: Load, target: str, console: Console, trouble: ServiceError | None
) -> Iterator[RenderableType]:
    yield _headline(load.gateway, target)
    if trouble is not None:
        yield Text(f"what follows is old: {trouble.reason}: {trouble.message}", style=_BAD)
    if load.models:
        yield fact_table([_model_facts(model) for model in load.models], console)
    else:
        yield Text("no model was ever served here: no engine has become ready", style=_BAD)
    numbered = enumerate(load.engines)
    yield fact_table([_engine_facts(idx, engine) for idx, engine in numbered], console)


def _headline(gateway: GatewayLoad, target: str) -> Text:
    line = Text.assemble(("steeple", "bold"), f" {gateway.version} at {target}")
    line.append(f"  up {seconds_text(gateway.uptime_s)}")
    line.append(f"  decoding {gateway.num_sessions}")
    line.append(f"  refused {gateway.num_refused}")
    line.append(f"  takeovers {gateway.num_takeovers}")
    line.append(f"  (of the last {gateway.window_s:.0f} s)", style="dim")
    if not gateway.is_tokenizer_ready:
        line.append("  the tokenizer service does not answer", style=_BAD)
    return line


def _model_facts(model: ModelLoad) -> Facts:
    name = Text(model.model, style="bold")
    if model.trouble:
        name.append(f" {model.trouble}", style=_BAD)
    return {
        "model": name,
        "live": f"{model.num_live}/{model.num_permits}",
        "in tok/s": number_text(model.prompt_tokens_per_s),
        "out tok/s": number_text(model.completion_tokens_per_s),
        "TTFT 50/90/99": _latency(model.time_to_first_token),
        "ITL 50/90/99": _latency(model.inter_token),
        "queue 50/90/99": _latency(model.queue),
        "ended": str(model.num_ended),
        "failed": Text(str(model.num_failed), style=_BAD if model.num_failed else ""),
    }


def _engine_facts(idx: int, engine: EngineLoad) -> Facts:
    work = engine.work
    return {
        "engine": f"{idx} {engine.model}" if engine.is_ready else f"{idx}",
        "route": f"{engine.runner} {engine.device}" if engine.is_ready else _state(engine),
        "policy": engine.scheduler or _NONE,
        "run": str(work.num_running) if work else _NONE,
        "wait": str(work.num_waiting) if work else _NONE,
        "KV blocks": blocks_bar(work) if work else _NONE,
        "steps/s": number_text(work.steps_per_s) if work else _NONE,
        "out tok/s": number_text(work.output_tokens_per_s) if work else _NONE,
        "cached": f"{work.cached_share:.0%}" if work else _NONE,
        "preempted": str(work.num_preemptions) if work else _NONE,
    }


def _state(engine: EngineLoad) -> Text:
    return Text("" if engine.is_ready else "not ready", style=_BAD)


def _latency(latency: Latency) -> str:
    """Three percentiles in one unit."""
    if not latency.count:
        return _NONE
    unit, factor = ("s", 1.0) if latency.p99_s >= 1 else ("ms", 1e3)
    times = (latency.p50_s, latency.p90_s, latency.p99_s)
    return "/".join(_short(time_s * factor) for time_s in times) + f" {unit}"


def _short(number: float) -> str:
    """Two digits, or all that stand before the point."""
    return f"{number:.0f}" if number >= 10 else f"{number:.1f}"  # noqa: PLR2004 - two digits
