"""Lengths of prompts and outputs, drawn from a distribution that is named in a few letters."""

import math
import random
from dataclasses import dataclass
from typing import Protocol

from steeple_cli.planning.errors import PlanRefused

MAX_LENGTH = 1 << 20
FORMS = "a number, uniform:a:b or lognormal:median:sigma"


class Lengths(Protocol):
    """A distribution of lengths."""

    def draw(self, rng: random.Random) -> int:
        """One length, 1 to MAX_LENGTH."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """Always the same."""

    length: int

    def draw(self, rng: random.Random) -> int:
        """The length; takes one number from `rng`, as every distribution does."""
        rng.random()
        return self.length


@dataclass(frozen=True, slots=True)
class Uniform:
    """Every length from `low` to `high` is equally likely."""

    low: int
    high: int

    def draw(self, rng: random.Random) -> int:
        """One length."""
        return self.low + int(rng.random() * (self.high - self.low + 1))


@dataclass(frozen=True, slots=True)
class LogNormal:
    """Half of the lengths are below `median`; about 68 % lie within a factor of e ** sigma."""

    median: int
    sigma: float

    def draw(self, rng: random.Random) -> int:
        """One length, rounded, cut at the bounds."""
        exponent = self.sigma * rng.normalvariate()
        # Compared as logarithms: e ** exponent may be more than a float holds.
        if math.log(self.median) + exponent >= math.log(MAX_LENGTH):
            return MAX_LENGTH
        return max(1, round(self.median * math.exp(exponent)))


def parse_lengths(option: str, text: str) -> Lengths:
    """The distribution that `text` names.

    Args:
        option: for the message.
        text: one of FORMS.

    Raises:
        PlanRefused: it names none, or one beyond 1 to MAX_LENGTH.
    """
    match text.split(":"):
        case [length]:
            return Fixed(_length(option, text, length))
        case ["uniform", low, high]:
            lengths = Uniform(_length(option, text, low), _length(option, text, high))
            if lengths.low > lengths.high:
                raise PlanRefused(f"{option} {text!r}: {low} is above {high}")
            return lengths
        case ["lognormal", median, sigma]:
            return LogNormal(_length(option, text, median), _sigma(option, text, sigma))
        case _:
            raise PlanRefused(f"{option} must be {FORMS}; it is {text!r}")


def _length(option: str, text: str, given: str) -> int:
    try:
        length = int(given)
    except ValueError:
        raise PlanRefused(f"{option} must be {FORMS}; it is {text!r}") from None
    if not 1 <= length <= MAX_LENGTH:
        raise PlanRefused(f"{option} {text!r}: lengths are 1 to {MAX_LENGTH}, not {length}")
    return length


def _sigma(option: str, text: str, given: str) -> float:
    try:
        sigma = float(given)
    except ValueError:
        raise PlanRefused(f"{option} must be {FORMS}; it is {text!r}") from None
    if not 0 <= sigma < math.inf:
        raise PlanRefused(f"{option} {text!r}: sigma is 0 or more, not {given}")
    return sigma
