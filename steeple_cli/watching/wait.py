"""`steeple wait`: until the gateway serves."""

from typing import Annotated

import typer

from steeple_cli.connecting.connection import Connection, client_command, connected


@client_command
def wait(
    *,
    timeout: Annotated[float, typer.Option(help="seconds to wait at most")] = 60.0,
    connection: Connection,
) -> None:
    """Wait until requests can be served.

    Ends 0 then, 1 if that takes too long.
    """
    with connected(connection) as client:
        client.wait_until_ready(timeout)
