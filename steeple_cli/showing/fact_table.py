"""Things and their facts as a table: a row per thing where that fits, else a row per fact."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_UNBOUNDED = 10_000
Facts = Mapping[str, str | Text]
"""Cells by their titles; every thing has the same titles, and the first one is its name."""


def fact_table(things: Sequence[Facts], console: Console) -> Table:
    """The table.

    Args:
        things: at least one.
        console: its width decides the form.
    """
    wide = _table([list(things[0]), *(list(facts.values()) for facts in things)])
    return wide if _width(wide, console) <= console.width else _turned(things)


def _width(table: Table, console: Console) -> int:
    """What it takes where nothing is cut off."""
    return console.measure(table, options=console.options.update(max_width=_UNBOUNDED)).maximum


def _turned(things: Sequence[Facts]) -> Table:
    return _table([[title, *(facts[title] for facts in things)] for title in things[0]])


def _table(rows: Sequence[Sequence[str | Text]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    first, *others = rows
    for title in first:
        table.add_column(title, no_wrap=True, overflow="fold")
    for row in others:
        table.add_row(*row)
    return table
