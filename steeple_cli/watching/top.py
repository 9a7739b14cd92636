"""`steeple top`: what runs, what waits, how fast it is; again and again."""

from dataclasses import asdict
from typing import Annotated

from rich.console import Console
from rich.live import Live

from steeple_cli.connecting.connection import Connection, client_command, connected
from steeple_cli.conventions.option import option, switch
from steeple_cli.showing.json_lines import print_line
from steeple_cli.watching.screen import screen
from steeple_cli.watching.tellings import tellings
from steeple_client import Client, Load
from steeple_client.load import DEFAULT_INTERVAL_S

_PANEL = "View"
Refresh = Annotated[
    float,
    option("seconds between two tellings", _PANEL, min=0.1, max=60, metavar="<seconds>"),
]
Once = Annotated[bool, switch("tell once and end", _PANEL, "--once")]
Json = Annotated[bool, switch("a line of JSON per telling", _PANEL, "--json")]


@client_command
def top(
    *,
    refresh: Refresh = DEFAULT_INTERVAL_S,
    once: Once = False,
    json: Json = False,
    connection: Connection,
) -> None:
    """Watch requests, KV blocks, tokens/s and latencies as they run."""
    with connected(connection) as client:
        if json:
            _tell_lines(client, refresh, once=once)
        elif once:
            _picture(client.load(), connection.target)
        else:
            _watch(client, refresh, connection.target)


def _tell_lines(client: Client, refresh: float, *, once: bool) -> None:
    """A line per telling; to the end of the gateway, or for ever."""
    for load in [client.load()] if once else client.watch_load(refresh):
        print_line(asdict(load))


def _picture(load: Load, target: str) -> None:
    console = _console()
    console.print(screen(load, target, console, None))


def _watch(client: Client, refresh: float, target: str) -> None:
    """The same picture again and again in one place; one below the other where that is none."""
    console = _console()
    last: Load | None = None
    # What is drawn only changes when something was told.
    with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
        for told in tellings(client, refresh):
            last, trouble = (told, None) if isinstance(told, Load) else (last, told)
            assert last is not None  # noqa: S101 - the first telling is a load
            picture = screen(last, target, console, trouble)
            if console.is_terminal:
                live.update(picture, refresh=True)
            else:
                console.print(picture)


def _console() -> Console:
    return Console(highlight=False, markup=False)
