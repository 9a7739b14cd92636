"""Lines of JSON on stdout, for programs."""

import json
import sys
from collections.abc import Mapping
from enum import Enum


def print_line(facts: Mapping[str, object]) -> None:
    """Write an object of JSON as one line, at once."""
    sys.stdout.write(json.dumps(facts, default=_plain) + "\n")
    sys.stdout.flush()


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else str(value)
