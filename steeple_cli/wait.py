"""`steeple wait`: until the gateway serves."""

from typing import Annotated

import typer

from steeple_cli.target import TARGET, Target, connected


def wait(
    timeout: Annotated[float, typer.Option(help="seconds to wait at most")] = 60.0,
    target: Target = TARGET,
) -> None:
    """Wait until requests can be served; ends 0 then, 1 if that takes too long."""
    with connected(target) as client:
        client.wait_until_ready(timeout)
