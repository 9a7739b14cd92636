"""`steeple chat`: answer one text, or talk."""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated

import typer

from steeple_cli.asking.options import Json, generating
from steeple_cli.asking.printing import print_json, print_text
from steeple_cli.connecting.connection import Connection, client_command, connected
from steeple_client import Client, Event, GenerateOptions, Message, assistant, user
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
            _converse(client, opening, options, show)
        else:
            show(client.chat_stream([*opening, user(text)], **options))


def _converse(
    client: Client,
    messages: list[Message],
    options: GenerateOptions,
    show: Callable[[Iterable[Event]], str],
) -> None:
    """Turn by turn until the end of input."""
    for line in _lines():
        messages.append(user(line))
        answer = show(client.chat_stream(messages, **options))
        messages.append(assistant(answer))


def _lines() -> Iterator[str]:
    """What the person types; the prompt sign only where there is a person."""
    sign = "> " if sys.stdin.isatty() else ""
    while True:
        try:
            line = input(sign)
        except EOFError:
            return
        if line.strip():
            yield line
