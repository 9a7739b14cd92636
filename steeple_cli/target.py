"""The option that every client command has, and what it does with failures."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from steeple_client import Client
from steeple_client.sync import DEFAULT_TARGET
from steeple_rpc.errors import ServiceError
from steeple_rpc.status import code_of

Target = Annotated[
    str, typer.Option("--target", envvar="STEEPLE_TARGET", help="the gateway, HOST:PORT")
]
TARGET = DEFAULT_TARGET
FAILED = 1


@contextmanager
def connected(target: str) -> Iterator[Client]:
    """A client for the block; a typed failure goes to stderr and ends the process with 1."""
    try:
        with Client(target) as client:
            yield client
    except ServiceError as error:
        sys.stderr.write(f"error: {code_of(error).name} {error.reason}: {error.message}\n")
        raise typer.Exit(FAILED) from None
    except KeyboardInterrupt:
        raise typer.Exit(FAILED) from None
