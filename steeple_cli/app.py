"""The command line as a whole; a command's own module is imported when the command runs."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import typer
from typer.main import get_command

from steeple_cli.commands import COMMANDS, module_of
from steeple_cli.conventions.help import Command, Group
from steeple_cli.version import steeple

_ENDS = "Ends 0: done, 1: failed, 2: cannot work as asked for, 130: Ctrl-C."


class LazyCommand(Command):
    """A command that the help can list without its module.

    Args:
        name: as it is typed and registered.
        text: what it does.
    """

    def __init__(self, name: str, text: str) -> None:
        super().__init__(name, help=text)

    def make_context(self, info_name: str | None, args: list[str], *more: Any, **extra: Any) -> Any:
        """See click: from here on it is the command itself that reads and runs."""
        return _loaded(str(self.name)).make_context(info_name, args, *more, **extra)


class LazyGroup(Group):
    """The commands of the registry."""

    def __init__(self, **given: Any) -> None:  # typer's own
        commands = {name: LazyCommand(name, listed.text) for name, listed in COMMANDS.items()}
        super().__init__(**{**given, "commands": commands})


def _loaded(name: str) -> Any:  # of typer's private click
    """The command that its module has under its name: a function, or a typer."""
    found: typer.Typer | Callable[..., None] = getattr(import_module(module_of(name)), name)
    if isinstance(found, typer.Typer):
        return get_command(found)
    alone = typer.Typer(add_completion=False)
    alone.command(name, cls=Command)(found)
    return get_command(alone)


app = typer.Typer(
    name="steeple",
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog=_ENDS,
)
app.callback()(steeple)
