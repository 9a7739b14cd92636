"""A conversation of many turns: typed by a person, or piped in."""

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

from steeple_cli.connecting.remedies import told_with_remedy
from steeple_client import Event, GenerationStream, Message, assistant, user
from steeple_rpc.errors import ServiceError

Ask = Callable[[Sequence[Message]], GenerationStream]
"""The answer to all turns so far."""
Show = Callable[[Iterable[Event]], str]
"""Prints an answer as it comes, and returns its text."""
_SIGN = "> "


def converse(ask: Ask, opening: Sequence[Message], show: Show) -> None:
    """Turn by turn until the end of input.

    In a terminal a turn may fail, and Ctrl-C ends an answer that goes on too long.

    Raises:
        ServiceError: a turn of a conversation that was piped in failed.
        KeyboardInterrupt: Ctrl-C where nothing is answered.
    """
    messages = list(opening)
    if sys.stdin.isatty() and sys.stdout.isatty():
        lines, answered = _typed(), _answered_to_a_person
    else:
        lines, answered = _piped(), _answered
    for line in lines:
        asked = [*messages, user(line)]
        answer = answered(ask, asked, show)
        if answer is not None:
            messages = [*asked, assistant(answer)]


def _answered(ask: Ask, asked: Sequence[Message], show: Show) -> str | None:
    with ask(asked) as stream:
        return show(stream)


def _answered_to_a_person(ask: Ask, asked: Sequence[Message], show: Show) -> str | None:
    """What was answered, be it half; None: nothing was, and the turn does not count."""
    try:
        with ask(asked) as stream:
            try:
                return show(stream)
            except KeyboardInterrupt:
                if not stream.text:
                    sys.stdout.write("\n")
                return stream.text or None
    except ServiceError as error:
        sys.stderr.write(f"error: {told_with_remedy(error)}\n")
        return None


def _typed() -> Iterator[str]:
    """What the person types, with arrow keys and what was typed before where Python has them."""
    with contextlib.suppress(ImportError):
        importlib.import_module("readline")
    try:
        yield from _lines(_SIGN)
    finally:
        sys.stdout.write("\n")


def _piped() -> Iterator[str]:
    return _lines("")


def _lines(sign: str) -> Iterator[str]:
    while True:
        try:
            line = input(sign)
        except EOFError:
            return
        if line.strip():
            yield line
