"""`steeple --version`."""

import sys
from typing import Annotated

import typer

from steeple_cli.conventions.help import NO_VALUE


def _tell(wanted: bool) -> None:  # noqa: FBT001 - typer's signature of a callback
    if wanted:
        # What is installed is looked up; no other command waits for that.
        from steeple_rpc.version import steeple_version  # noqa: PLC0415

        sys.stdout.write(f"steeple {steeple_version()}\n")
        raise typer.Exit


def steeple(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_tell, is_eager=True, help="Tell the version.", metavar=NO_VALUE
        ),
    ] = False,
) -> None:
    """Serve language models over gRPC, and talk to them."""
