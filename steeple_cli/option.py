"""How an option of the command line is told: its text, and the group of the help it stands in."""

from typing import Any

import typer


def option(text: str, group: str, *names: str, **kind: Any) -> typer.models.OptionInfo:
    """An option for `Annotated`.

    Args:
        text: what it does, in a few words.
        group: where the help shows it.
        names: as they are typed; without any, made of the parameter's name.
        kind: what else typer takes: its bounds, metavar, variable.
    """
    made: typer.models.OptionInfo = typer.Option(*names, help=text, rich_help_panel=group, **kind)
    return made
