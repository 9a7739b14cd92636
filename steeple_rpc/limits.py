"""How a number, a list, a text or a token id is held to its bounds. Nothing is ever changed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from steeple_rpc.errors import InvalidRequest

UINT32_MAX = (1 << 32) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """A closed range; `low` itself is out where it is open."""

    low: float
    high: float
    is_low_open: bool = False

    def __str__(self) -> str:
        opening = "above " if self.is_low_open else ""
        return f"{opening}{_plain(self.low)} to {_plain(self.high)}"

    def holds(self, value: float) -> bool:
        """Whether `value` is a number in the range."""
        if math.isnan(value) or value > self.high:
            return False
        return value > self.low if self.is_low_open else value >= self.low


def check_number(field: str, value: float, allowed: Bounds) -> None:
    """Refuse a number that is out of its bounds, or none.

    Raises:
        InvalidRequest: names field, bounds and value.
    """
    if not allowed.holds(value):
        raise InvalidRequest(
            f"{field} must be {allowed}; it is {_plain(value)}", reason="OUT_OF_RANGE", field=field
        )


def check_numbers(message: Message, bounds: Mapping[str, Bounds], prefix: str) -> None:
    """Check each field of a message that has bounds and is set.

    Args:
        message: whose fields in `bounds` are optional numbers.
        bounds: by the field's name.
        prefix: of the name in a refusal.

    Raises:
        InvalidRequest: as `check_number`.
    """
    for name, allowed in bounds.items():
        if message.HasField(name):
            check_number(prefix + name, getattr(message, name), allowed)


def check_count(field: str, count: int, limit: int) -> None:
    """Refuse a list that is too long.

    Raises:
        InvalidRequest: `count` exceeds `limit`.
    """
    if count > limit:
        raise InvalidRequest(
            f"{field} may have at most {limit} entries; it has {count}",
            reason="TOO_MANY",
            field=field,
        )


def check_text(field: str, text: str, max_bytes: int) -> None:
    """Refuse a text that is empty or too long in UTF-8.

    Raises:
        InvalidRequest: names the text's size, never the text.
    """
    size = len(text.encode())
    if not 0 < size <= max_bytes:
        raise InvalidRequest(
            f"{field} must have 1 to {max_bytes} bytes; it has {size}",
            reason="OUT_OF_RANGE",
            field=field,
        )


# Sequences of ids, and the keys of maps, are of several types in the generated code.
def check_token_ids(field: str, token_ids: Any, vocab_size: int) -> None:
    """Refuse ids outside the vocabulary; names the first one's index.

    Raises:
        InvalidRequest: an id is not below `vocab_size`.
    """
    if token_ids and max(token_ids) >= vocab_size:
        index, value = next((i, t) for i, t in enumerate(token_ids) if t >= vocab_size)
        raise InvalidRequest(
            f"{field}[{index}] must be below the vocabulary size {vocab_size}; it is {value}",
            reason="TOKEN_OUT_OF_RANGE",
            field=f"{field}[{index}]",
        )


def check_token_keys(field: str, token_ids: Any, vocab_size: int) -> None:
    """Refuse keys of a map that are no tokens; names the greatest.

    Raises:
        InvalidRequest: a key is not below `vocab_size`.
    """
    if token_ids and (value := max(token_ids)) >= vocab_size:
        raise InvalidRequest(
            f"{field} may only have keys below the vocabulary size {vocab_size}; one is {value}",
            reason="TOKEN_OUT_OF_RANGE",
            field=field,
        )


def _plain(number: float) -> str:
    """A number as people write it: 4294967295, not 4.29497e+09."""
    return str(int(number)) if math.isfinite(number) and number == int(number) else f"{number:g}"
