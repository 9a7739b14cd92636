"""The commands in the order of the help; `steeple_cli.ROOM.NAME` has NAME: a function or typer."""

from collections.abc import Mapping
from typing import NamedTuple


class Listed(NamedTuple):
    """A command before its module is imported."""

    room: str
    """The folder where its module is."""
    text: str
    """What it does: how its own help begins."""


COMMANDS: Mapping[str, Listed] = {
    "serve": Listed("serving", "Serve a model: gateway, tokenizer service and engine service."),
    "plan": Listed("planning", "Simulate batching policies on a workload: latencies, padding."),
    "demo": Listed("serving", "Serve the demo model, ask it what 2+2 is, check the answer."),
    "wait": Listed("watching", "Wait until requests can be served."),
    "generate": Listed("asking", "Continue a text; print what the model adds, as it comes."),
    "chat": Listed("asking", "Say something to the model; print its answer, as it comes."),
    "doctor": Listed("doctoring", "Tell what would be served, and what would not work."),
    "models": Listed("watching", "List what is served: route, policy, load time, memory, room."),
    "top": Listed("watching", "Watch requests, KV blocks, tokens/s and latencies as they run."),
    "bench": Listed("benching", "Put a load on a gateway; measure what its callers see."),
    "token": Listed("access", "Keep the file of those who may call the gateway."),
}


def module_of(name: str) -> str:
    """The module of a command."""
    return f"steeple_cli.{COMMANDS[name].room}.{name}"
