"""`steeple chat`: answer one text, or talk."""

from typing import Annotated

import typer

from steeple_cli.asking.conversation import converse
from steeple_cli.asking.options import Json, generating
from steeple_cli.asking.printing import print_json, print_text
from steeple_cli.connecting.connection import Connection, client_command, connected
from steeple_client import GenerateOptions, user
from steeple_client import system as system_message


@client_command
@generating
def chat(
    text: Annotated[
        str | None, typer.Argument(help="what to say; without it, a conversation")
    ] = None,
    *,
    options: GenerateOptions,
    connection: Connection,
    system: Annotated[str | None, typer.Option(help="the system message")] = None,
    json: Json = False,
) -> None:
    """Say something to the model; print its answer, as it comes."""
    opening = [system_message(system)] if system else []
    show = print_json if json else print_text
    with connected(connection) as client:
        if text is None:
            converse(lambda turns: client.chat_stream(turns, **options), opening, show)
        else:
            show(client.chat_stream([*opening, user(text)], **options))
