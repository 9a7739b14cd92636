"""How an option of the command line is told: its text, and the group of the help it stands in."""

from collections.abc import Callable, Sequence
from inspect import Parameter, Signature, signature
from typing import Any

import typer

from steeple_cli.conventions.help import NO_VALUE

_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def option(text: str, group: str, *names: str, **kind: Any) -> typer.models.OptionInfo:
    """An option for `Annotated`.

    Args:
        text: what it does, in a few words.
        group: where the help shows it.
        names: as they are typed; without any, made of the parameter's name.
        kind: what else typer takes: its bounds, metavar, variable.
    """
    # What stands in brackets is no style.
    told = text.replace("[", r"\[")
    made: typer.models.OptionInfo = typer.Option(*names, help=told, rich_help_panel=group, **kind)
    return made


def switch(text: str, group: str, *names: str, **kind: Any) -> typer.models.OptionInfo:
    """Likewise, an option without a value."""
    return option(text, group, *names, metavar=NO_VALUE, **kind)


def with_options(command: Callable[..., None], added: Sequence[Parameter]) -> Callable[..., None]:
    """A command that takes `**given`, with these options instead."""

    def run(**given: Any) -> None:  # what typer parsed, of any type
        command(**given)

    own = signature(command, eval_str=True).parameters.values()
    named = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in own if one.kind in _NAMED]
    parameters = [*named, *added]
    # What typer reads instead of the code.
    run.__name__, run.__doc__ = command.__name__.lstrip("_"), command.__doc__
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    vars(run)["__signature__"] = Signature(parameters)
    return run
