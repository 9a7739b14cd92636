"""What a deployment on this machine is made of: three services, and the command line of each."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MODULES: Mapping[str, str] = {
    "gateway": "gateway",
    "tokenizer": "tokenizer_svc",
    "engine": "engine_svc",
}
"""The services by name, each `python -m module`. The gateway first: it is the first to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServePlan:
    """What is to be served and how."""

    model_dir: Path
    model_name: str
    listen: str
    """Of the gateway: HOST:PORT."""
    grace_s: float
    startup_timeout_s: float
    log_level: str = "warning"
    metrics_port: int | None = None
    """Of the gateway, on its host; the others' follow. 0 = any; None = no metrics."""
    config: Path | None = None
    """The services' configuration file."""
    arguments: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """More of them, by service; they know the defaults."""


_OURS = {
    "--listen": "--host, --port",
    "--metrics-listen": "--metrics-port",
    "--grace-s": "--grace",
    "--startup-timeout-s": "--startup-timeout",
}


def in_our_words(message: str) -> str:
    """What a service says, with the options of `steeple serve` where they have another name."""
    for theirs, ours in _OURS.items():
        message = re.sub(rf"{theirs}(?![\w-])", ours, message)
    return message


def command_lines(plan: ServePlan, sockets: Path) -> Mapping[str, Sequence[str]]:
    """The arguments of each service, in the order of MODULES.

    Args:
        plan: what is wanted.
        sockets: the directory of their Unix sockets.
    """
    return {
        name: (*arguments, *plan.arguments.get(name, ()))
        for name, arguments in settled(plan, sockets).items()
    }


def settled(plan: ServePlan, sockets: Path) -> Mapping[str, Sequence[str]]:
    """Those of them that `steeple serve` settles itself, whatever the services' tables say."""
    engine, tokenizer = f"unix:{sockets}/engine", f"unix:{sockets}/tokenizer"
    # A list in JSON: a comma in a path would end an item otherwise.
    models = json.dumps([f"{plan.model_name}={plan.model_dir}"])
    wired = {
        "gateway": (f"--listen={plan.listen}", f"--tokenizer={tokenizer}", f"--engine={engine}"),
        "tokenizer": (f"--listen={tokenizer}", f"--model={models}"),
        "engine": (
            *(f"--listen={engine}", f"--model={plan.model_dir}"),
            f"--served-model-name={plan.model_name}",
            f"--startup-timeout-s={plan.startup_timeout_s}",
        ),
    }
    shared = _shared(plan)
    return {
        name: (*wired[name], *shared, *_metrics(plan, place)) for place, name in enumerate(MODULES)
    }


def _shared(plan: ServePlan) -> Sequence[str]:
    return (
        "--stop-on-stdin-eof",
        "--log-format=json",
        # At least info: progress is told there.
        f"--log-level={'debug' if plan.log_level == 'debug' else 'info'}",
        f"--grace-s={plan.grace_s}",
        *((f"--config={plan.config}",) if plan.config else ()),
    )


def _metrics(plan: ServePlan, place: int) -> Sequence[str]:
    if plan.metrics_port is None:
        return ()
    host = plan.listen.rpartition(":")[0]
    return (f"--metrics-listen={host}:{plan.metrics_port and plan.metrics_port + place}",)
