"""How commands speak of their options: in the help, and of a value that they cannot take."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

NO_VALUE = ""
"""The metavar of a switch; typer's own is <bool>."""


class Command(TyperCommand):
    """A command whose --help is a switch like any other."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # of typer's private click
        """See click."""
        with _refusals_in_our_words():
            return super().parse_args(ctx, args)

    def get_help_option(self, ctx: Any) -> TyperOption | None:  # of typer's private click
        """See click."""
        return _bare(super().get_help_option(ctx))


class Group(TyperGroup):
    """A group of commands; likewise."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # of typer's private click
        """See click."""
        with _refusals_in_our_words():
            return super().parse_args(ctx, args)

    def get_help_option(self, ctx: Any) -> TyperOption | None:  # of typer's private click
        """See click."""
        return _bare(super().get_help_option(ctx))


@contextmanager
def _refusals_in_our_words() -> Iterator[None]:
    """Without what a validator puts before what it has to say."""
    try:
        yield
    except typer.BadParameter as error:
        error.message = error.message.removeprefix("Value error, ")
        raise


def _bare(option: TyperOption | None) -> TyperOption | None:
    if option is not None:
        option.metavar = NO_VALUE
    return option
