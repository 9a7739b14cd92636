"""How a command ends that cannot go on."""

import sys
from typing import NoReturn

import typer


def end(status: int, message: str) -> NoReturn:
    """End the process with a status of `exits`, and one line on stderr that tells why."""
    sys.stderr.write(f"error: {message}\n")
    raise typer.Exit(status) from None
