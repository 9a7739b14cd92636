"""What goes to stdout as it comes: the text of an answer, or lines of JSON."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict

from steeple_cli.showing.json_lines import print_line
from steeple_client import Event, Finished, Started, TextDelta, Usage

_KINDS: Mapping[type, str] = {
    Started: "started",
    TextDelta: "delta",
    Finished: "finished",
    Usage: "usage",
}
"""The kinds of events by their names in the contract."""


def print_text(events: Iterable[Event]) -> str:
    """Write the text as it comes, then a newline, also where an error ends it; returns the text."""
    texts = []
    try:
        for event in events:
            if isinstance(event, TextDelta):
                texts.append(event.text)
                sys.stdout.write(event.text)
                sys.stdout.flush()
    finally:
        if texts:
            sys.stdout.write("\n")
    return "".join(texts)


def print_json(events: Iterable[Event]) -> str:
    """Write each event as one line: its kind and its fields; returns the whole text."""
    texts = []
    for event in events:
        print_line({"event": _KINDS[type(event)], **asdict(event)})
        if isinstance(event, TextDelta):
            texts.append(event.text)
    return "".join(texts)
