"""How the help of a command looks: what has no value shows none."""

from typing import Any

from typer.core import TyperCommand, TyperGroup, TyperOption

NO_VALUE = ""
"""The metavar of a switch; typer's own is <bool>."""


class Command(TyperCommand):
    """A command whose --help is a switch like any other."""

    def get_help_option(self, ctx: Any) -> TyperOption | None:  # of typer's private click
        """See click."""
        return _bare(super().get_help_option(ctx))


class Group(TyperGroup):
    """A group of commands; likewise."""

    def get_help_option(self, ctx: Any) -> TyperOption | None:  # of typer's private click
        """See click."""
        return _bare(super().get_help_option(ctx))


def _bare(option: TyperOption | None) -> TyperOption | None:
    if option is not None:
        option.metavar = NO_VALUE
    return option
