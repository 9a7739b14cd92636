"""The bounds of every request parameter, and which of them are not built yet: one table.

The gateway checks before it admits, the engine checks again: it trusts nobody. Messages of
common/v1 come in; nothing is changed and nothing is returned.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from steeple_rpc.errors import InvalidRequest, Unsupported

MAX_STOPS = 8
MAX_STOP_BYTES = 256
MAX_STOP_TOKEN_IDS = 64
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


_SAMPLING: Mapping[str, Bounds] = {
    "temperature": Bounds(low=0, high=100),
    "top_k": Bounds(low=0, high=1_000_000),
    "top_p": Bounds(low=0, high=1, is_low_open=True),
    "min_p": Bounds(low=0, high=1),
}
_STOPPING: Mapping[str, Bounds] = {
    "max_tokens": Bounds(low=1, high=UINT32_MAX),
    "min_tokens": Bounds(low=0, high=UINT32_MAX),
}
_REQUEST: Mapping[str, Bounds] = {"priority": Bounds(low=-1000, high=1000)}

# Fields that are not built yet, with the value that asks for nothing; None = only unset does.
_UNBUILT_SAMPLING: Mapping[str, Any] = {
    "typical_p": 1.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "length_penalty": None,
    "logit_bias": None,
    "bad_words": None,
}
_UNBUILT_STOPPING: Mapping[str, Any] = {"time_limit_ms": None}
_UNBUILT_OUTPUT: Mapping[str, Any] = {
    "n": 1,
    "best_of": 1,
    "beam_width": None,
    "logprobs": None,
    "prompt_logprobs": None,
    "logprob_token_ids": None,
}
_UNBUILT_REQUEST: Mapping[str, Any] = {
    "guided": None,
    "adapter": None,
    "cache_salt": None,
    "tools": None,
    "tool_choice": None,
}


def check_request(request: Message) -> None:
    """Check the parameters that every generating request carries.

    Args:
        request: any message with `sampling`, `stopping` and `output`.

    Raises:
        InvalidRequest: a value is out of its bounds; names field, bounds and value.
        Unsupported: a field that is not built yet asks for something; names the field.
    """
    parts: Any = request  # the messages share these fields and no base class
    _check_unbuilt(request, _UNBUILT_REQUEST, "")
    _check_unbuilt(parts.sampling, _UNBUILT_SAMPLING, "sampling.")
    _check_unbuilt(parts.stopping, _UNBUILT_STOPPING, "stopping.")
    _check_unbuilt(parts.output, _UNBUILT_OUTPUT, "output.")
    _check_bounds(request, _REQUEST, "")
    _check_bounds(parts.sampling, _SAMPLING, "sampling.")
    _check_bounds(parts.stopping, _STOPPING, "stopping.")
    _check_stops(parts.stopping)


def _check_unbuilt(message: Message, unbuilt: Mapping[str, Any], prefix: str) -> None:
    for descriptor, value in message.ListFields():
        name = descriptor.name
        if name in unbuilt and (unbuilt[name] is None or value != unbuilt[name]):
            raise Unsupported(f"{prefix}{name} is not supported yet", field=prefix + name)


def _check_bounds(message: Message, bounds: Mapping[str, Bounds], prefix: str) -> None:
    for name, allowed in bounds.items():
        if message.HasField(name) and not allowed.holds(value := getattr(message, name)):
            raise InvalidRequest(
                f"{prefix}{name} must be {allowed}; it is {_plain(value)}",
                reason="OUT_OF_RANGE",
                field=prefix + name,
            )


def _check_stops(stopping: Any) -> None:
    check_count("stopping.stop", len(stopping.stop), MAX_STOPS)
    check_count("stopping.stop_token_ids", len(stopping.stop_token_ids), MAX_STOP_TOKEN_IDS)
    for index, stop in enumerate(stopping.stop):
        size = len(stop.encode())
        if not 0 < size <= MAX_STOP_BYTES:
            field = f"stopping.stop[{index}]"
            raise InvalidRequest(
                f"{field} must have 1 to {MAX_STOP_BYTES} bytes; it has {size}",
                reason="OUT_OF_RANGE",
                field=field,
            )
    has_both = stopping.HasField("max_tokens") and stopping.HasField("min_tokens")
    if has_both and stopping.min_tokens > stopping.max_tokens:
        raise InvalidRequest(
            f"stopping.min_tokens must be at most max_tokens {stopping.max_tokens};"
            f" it is {stopping.min_tokens}",
            reason="OUT_OF_RANGE",
            field="stopping.min_tokens",
        )


def _plain(number: float) -> str:
    """A number as people write it: 4294967295, not 4.29497e+09."""
    return str(int(number)) if math.isfinite(number) and number == int(number) else f"{number:g}"


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
