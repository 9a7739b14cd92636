"""A running deployment, seen through its public port: is it there, may we, does it answer."""

import time
from collections.abc import Iterator

from steeple_cli.connecting.remedies import remedy_for, remedy_of_reason
from steeple_cli.doctoring.finding import Finding, fail, ok, warn
from steeple_cli.showing.concurrency import concurrency_text
from steeple_client import Client, EngineLoad, Load, Model
from steeple_rpc.errors import ServiceError
from steeple_rpc.sizes import number_text, seconds_text
from steeple_rpc.version import steeple_version

_PROMPT = "Hello"
_PATIENCE_S = 60.0
_LOOK_AGAIN_S = 0.25
_MAX_LOOKS = 8


def look_at_deployment(client: Client, target: str) -> Iterator[Finding]:
    """Everything, up to what cannot be reached."""
    try:
        load = _load(client)
    except ServiceError as error:
        yield fail("gateway", f"{target}: {error.reason}: {error.message}", remedy_for(error))
        return
    yield from _gateway(load, target)
    yield from (_engine(idx, engine) for idx, engine in enumerate(load.engines))
    for model in load.models:
        if model.trouble:
            remedy = remedy_of_reason(model.trouble)
            yield fail("model", f"{model.model} cannot be served: {model.trouble}", remedy)
    if not load.models:
        yield fail("model", "no engine was ever ready", remedy_of_reason("ENGINE_NOT_READY"))
    for each in client.models():
        yield _model(each)
        yield _answer(client, each.name)


def _load(client: Client) -> Load:
    """The load; of an engine that has just become ready, once it has told its own."""
    load = client.load()
    watch = client.watch_load(_LOOK_AGAIN_S)
    for _ in range(_MAX_LOOKS):
        if all(engine.work is not None for engine in load.engines if engine.is_ready):
            break
        load = next(watch)
    return load


def _gateway(load: Load, target: str) -> Iterator[Finding]:
    gateway, ours = load.gateway, steeple_version()
    told = f"{target} answers: Steeple {gateway.version}, up {seconds_text(gateway.uptime_s)}"
    yield ok("gateway", told, version=gateway.version, uptime_s=gateway.uptime_s)
    if gateway.version != ours:
        yield warn(
            "gateway",
            f"it runs Steeple {gateway.version}, and this command is {ours}",
            "use the same version where something is not understood",
        )
    if gateway.is_tokenizer_ready:
        yield ok("tokenizer", "ready")
    else:
        remedy = remedy_of_reason("TOKENIZER_NOT_READY")
        yield fail("tokenizer", "the gateway finds no tokenizer service that is ready", remedy)


def _engine(idx: int, engine: EngineLoad) -> Finding:
    about = f"engine {idx}"
    if not engine.is_ready:
        return fail(about, "not ready", remedy_of_reason("ENGINE_NOT_READY"))
    work = engine.work
    if work is None:
        return warn(about, "it does not tell its load", "look into its log")
    if work.is_draining:
        return warn(about, "it drains: no new requests", "start it again when it has ended")
    return ok(
        about,
        f"{engine.model} by {engine.runner} on {engine.device}, {engine.scheduler}:"
        f" {work.num_running} running, {work.num_waiting} waiting",
        num_running=work.num_running,
        num_waiting=work.num_waiting,
    )


def _model(model: Model) -> Finding:
    return ok(
        "model",
        f"{model.name} ({model.architecture}, {model.dtype}): {number_text(model.kv_tokens)} KV"
        f" tokens, {concurrency_text(model.max_concurrency, model.max_model_len)}",
        name=model.name,
        kv_tokens=model.kv_tokens,
        max_model_len=model.max_model_len,
        max_concurrency=model.max_concurrency,
    )


def _answer(client: Client, model: str) -> Finding:
    begin = time.monotonic()
    try:
        client.generate(_PROMPT, model=model, max_tokens=1, timeout_s=_PATIENCE_S)
    except ServiceError as error:
        told = f"{model} gives no token: {error.reason}: {error.message}"
        return fail("answer", told, remedy_for(error))
    took_s = time.monotonic() - begin
    return ok("answer", f"{model} gave a token in {seconds_text(took_s)}", latency_s=took_s)
