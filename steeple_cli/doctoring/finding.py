"""What was found: how bad it is, in words, in numbers, and how to mend it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Level(Enum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    """It works, and not as one may expect."""
    FAIL = "fail"
    """It does not work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    about: str
    level: Level
    told: str
    remedy: str = ""
    facts: Mapping[str, str | int | float] = field(default_factory=dict)
    """The numbers behind it, by name; for programs."""


def ok(about: str, told: str, **facts: str | float) -> Finding:
    """Something that is as it should be."""
    return Finding(about=about, level=Level.OK, told=told, facts=facts)


def warn(about: str, told: str, remedy: str, **facts: str | float) -> Finding:
    """Something that works otherwise than one may expect."""
    return Finding(about=about, level=Level.WARN, told=told, remedy=remedy, facts=facts)


def fail(about: str, told: str, remedy: str = "") -> Finding:
    """Something that does not work; a told text may hold its own remedy."""
    return Finding(about=about, level=Level.FAIL, told=told, remedy=remedy)
