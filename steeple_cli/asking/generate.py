"""`steeple generate`: continue a text."""

from typing import Annotated

import typer

from steeple_cli.asking.options import Json, generating
from steeple_cli.asking.printing import print_json, print_text
from steeple_cli.connecting.connection import Connection, client_command, connected
from steeple_client import GenerateOptions


@client_command
@generating
def generate(
    prompt: Annotated[str, typer.Argument(help="the text to continue")],
    *,
    options: GenerateOptions,
    connection: Connection,
    json: Json = False,
) -> None:
    """Continue a text; print what the model adds, as it comes."""
    with connected(connection) as client:
        events = client.generate_stream(prompt, **options)
        (print_json if json else print_text)(events)
