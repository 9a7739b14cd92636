"""`steeple models`: what is served, its room, and how long it took to load."""

import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated

from rich.console import Console

from steeple_cli.connecting.connection import Connection, client_command, connected
from steeple_cli.conventions.option import switch
from steeple_cli.showing.fact_table import Facts, fact_table
from steeple_cli.showing.json_lines import print_line
from steeple_client import Model, ModelEngine
from steeple_rpc.sizes import bytes_text, number_text, seconds_text

Json = Annotated[bool, switch("a line of JSON per model", "View", "--json")]
_NOTHING = "no model is served now: steeple doctor tells why\n"


@client_command
def models(*, connection: Connection, json: Json = False) -> None:
    """List what is served: route, policy, load time, memory, room."""
    with connected(connection) as client:
        served = client.models()
    if json:
        for model in served:
            print_line(asdict(model))
    elif served:
        console = Console(highlight=False, markup=False)
        console.print(fact_table([_facts(model) for model in served], console))
    else:
        sys.stdout.write(_NOTHING)


def _facts(model: Model) -> Facts:
    """A model over all its engines; what differs among them is told for each."""
    engines = model.engines
    return {
        "model": model.name,
        "architecture": model.architecture,
        "dtype": model.dtype,
        "route": _each(f"{engine.runner} on {engine.device}" for engine in engines),
        "policy": _each(engine.scheduler for engine in engines),
        "engines": str(model.num_engines),
        "load": _slowest(engines),
        "weights": bytes_text(model.weights_bytes),
        "KV cache": bytes_text(model.kv_cache_bytes),
        "KV tokens": number_text(model.kv_tokens),
        "context": number_text(model.max_model_len),
        "at once": number_text(model.max_concurrency),
    }


def _each(words: Iterable[str]) -> str:
    """Every word once, in the order of the engines."""
    return ", ".join(dict.fromkeys(words))


def _slowest(engines: Iterable[ModelEngine]) -> str:
    return seconds_text(max((engine.load_s for engine in engines), default=0.0))
