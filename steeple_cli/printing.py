"""How answers reach the terminal: only the text on stdout, or every event as JSON lines."""

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from enum import Enum

from steeple_client import Event, TextDelta


def print_text(events: Iterable[Event]) -> str:
    """Write the text as it comes, then a newline; returns the whole text."""
    texts = []
    for event in events:
        if isinstance(event, TextDelta):
            sys.stdout.write(event.text)
            sys.stdout.flush()
            texts.append(event.text)
    sys.stdout.write("\n")
    return "".join(texts)


def print_json(events: Iterable[Event]) -> None:
    """Write each event as one line: its kind and its fields."""
    for event in events:
        line = {"event": type(event).__name__.lower(), **asdict(event)}
        sys.stdout.write(json.dumps(line, default=_plain) + "\n")
        sys.stdout.flush()


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else str(value)
