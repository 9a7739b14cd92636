"""`steeple doctor`: what would be served from a directory, or what ails a running deployment."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from steeple_cli.connecting.connection import Connection, connection_parameters, failures_told
from steeple_cli.conventions.exits import FAILED
from steeple_cli.conventions.option import option, switch, with_options
from steeple_cli.doctoring.deployment import look_at_deployment
from steeple_cli.doctoring.finding import Finding, fail, ok
from steeple_cli.doctoring.installation import look_at_installation
from steeple_cli.doctoring.port import look_at_port
from steeple_cli.doctoring.report import as_json, is_well, print_findings
from steeple_cli.locating.model_missing import ModelNotFound
from steeple_cli.locating.model_path import find_model
from steeple_cli.serving.options import OPTIONS, arguments_of
from steeple_rpc.extras import missing_extra
from steeple_rpc.telemetry import silence

_FINDING = ("revision", "hub_cache", "config", "host", "port")
_ENGINE = {name: one for name, one in OPTIONS.items() if one.services == ("engine",)}
_Model = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL", help="directory, or org/name in the hub cache; default: the demo model"
    ),
]
_Target = Annotated[
    str | None, option("look at this running gateway, HOST:PORT", "Connection", "--target")
]
_Json = Annotated[bool, switch("one JSON object, numbers included", "View", "--json")]


def _doctor(
    named: _Model = None, target: _Target = None, *, json: _Json = False, **given: Any
) -> None:  # typer's values
    """Tell what would be served, and what would not work.

    Of a model directory: nothing is loaded, and no code of it is run.

    With --target: of a running deployment, through its public port. Ends 1 if anything fails.
    """
    with silence():
        findings = list(_findings(named, target, given))
    if json:
        sys.stdout.write(as_json(findings))
    else:
        print_findings(findings, Console(highlight=False, markup=False))
    if not is_well(findings):
        raise typer.Exit(FAILED)


def _findings(named: str | None, target: str | None, given: Mapping[str, Any]) -> Iterator[Finding]:
    if target is not None:
        connection = Connection(target=target, **{one.name: given[one.name] for one in _PROOFS})
        with failures_told(), connection.open() as client:
            yield from look_at_deployment(client, target)
    if target is None or named is not None:
        yield from look_at_installation()
        yield from _look_at_model(named, given)
        yield look_at_port(given["host"], given["port"])


def _look_at_model(named: str | None, given: Mapping[str, Any]) -> Iterator[Finding]:
    try:
        directory = find_model(named, revision=given["revision"], hub_cache=given["hub_cache"])
    except ModelNotFound as error:
        yield fail("files", str(error))
        return
    yield ok("files", str(directory), directory=str(directory))
    vocab_size = 0
    # Of the extra's libraries the look needs one alone.
    if find_spec("msgspec") is None:
        yield fail("model", missing_extra("engine", needed_by="a look at the model") or "")
    else:
        from steeple_cli.doctoring.model import look_at_engine  # noqa: PLC0415 - of the extra

        found, findings = look_at_engine(_engine_arguments(directory, given))
        vocab_size = found.vocab_size
        yield from findings
    if hindrance := missing_extra("tokenizer", needed_by="a look at the tokenizer"):
        yield fail("tokenizer", hindrance)
    else:
        from steeple_cli.doctoring.tokenizer import look_at_tokenizer  # noqa: PLC0415 - likewise

        yield from look_at_tokenizer(directory, vocab_size=vocab_size)


def _engine_arguments(directory: Path, given: Mapping[str, Any]) -> Sequence[str]:
    """The engine's command line, as `steeple serve` would make it."""
    asked = arguments_of({**dict.fromkeys(OPTIONS), **{name: given[name] for name in _ENGINE}})
    config = (f"--config={given['config']}",) if given["config"] else ()
    return [f"--model={directory}", *config, *asked.get("engine", ())]


_PROOFS = [each for each in connection_parameters() if each.name != "target"]
_SERVED = [OPTIONS[name].parameter(name) for name in (*_FINDING, *_ENGINE)]

doctor = with_options(_doctor, [*_SERVED, *_PROOFS])
