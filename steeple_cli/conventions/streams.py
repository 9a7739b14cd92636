"""What the process was given as stdin, stdout and stderr, made fit for whatever comes."""

import io
import os
import sys

_NAMES = ("stdin", "stdout", "stderr")


def prepare() -> None:
    """Let no byte, no character and no closed stream be a traceback."""
    for number, name in enumerate(_NAMES):
        if getattr(sys, name) is None:
            _replace_closed(number, name)
    if isinstance(sys.stdin, io.TextIOWrapper):
        # What is not of the locale is the gateway's to refuse, by a reason.
        sys.stdin.reconfigure(errors="surrogateescape")
    for shown in (sys.stdout, sys.stderr):
        if isinstance(shown, io.TextIOWrapper):
            # A locale that lacks a character of an answer or a table shows a question mark.
            shown.reconfigure(errors="replace")


def forget_output() -> None:
    """Let what stdout could not take go nowhere, or Python would try again at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _replace_closed(number: int, name: str) -> None:
    """Nothing to read, nobody who reads; and no socket gets the number of a standard stream."""
    nowhere = os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)
    setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", encoding="utf-8"))
