"""When a failed call is made again, and after which pause. Pure: clock and dice come in as numbers.

A call is made again only where nothing of it can have been computed, or where computing it twice
changes nothing; docs/client.md tells which status of which call that is.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import assert_never

from steeple_rpc.errors import (
    AlreadyExists,
    InvalidRequest,
    Overloaded,
    ServiceError,
    Unavailable,
)

_TRANSPORT = Unavailable.default_reason
"""The reason where the library, and no service of ours, says that a call failed."""
_NOT_BEGUN = frozenset({"DRAINING", "STARTING", "ENGINE_NOT_READY", "TOKENIZER_NOT_READY"})
"""Nothing of the request lives on, and another gateway, or this one soon, may serve it."""
_MAX_DOUBLINGS = 64
"""Far beyond any limit of pauses, and a number that a float holds."""
_NEVER_SENT = ("connections to all backends failing", "errors resolving ")
"""How the library begins when there was no connection (tests/contract/test_grpc_unsent.py)."""


class Repeatable(Enum):
    """Until when a call may be made again."""

    NEVER = auto()
    """How it fails is the answer."""
    ALWAYS = auto()
    """It only reads."""
    UNTIL_AN_EVENT = auto()
    """Computing begins with the first event."""
    UNTIL_SENT = auto()
    """It computes, and nothing is heard of that before the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often a call is made, and how long the pauses between are.

    Raises:
        InvalidRequest: a number is out of its range.
    """

    max_attempts: int = 3
    """1 or more; 1 = never again."""
    first_pause_s: float = 0.5
    """The longest first pause, above 0; each next one is up to twice as long."""
    max_pause_s: float = 8.0
    """No pause is longer; where the server asks for a longer one, its error is the result."""

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise _refused("max_attempts", "1 or more", self.max_attempts)
        if not self.first_pause_s > 0:
            raise _refused("first_pause_s", "above 0", self.first_pause_s)
        if not self.max_pause_s >= self.first_pause_s:
            raise _refused("max_pause_s", "at least first_pause_s", self.max_pause_s)


NO_RETRIES = Retries(max_attempts=1)


def _refused(name: str, allowed: str, value: float) -> InvalidRequest:
    return InvalidRequest(
        f"{name} must be {allowed}; it is {value:g}", reason="OUT_OF_RANGE", field=name
    )


class Attempts:
    """The attempts of one call.

    Args:
        retries: how many, how far apart.
        repeatable: what kind of call it is.
        ends_at_s: when its time is over, on the clock that `pause_after` is told; None = never.
    """

    def __init__(
        self, retries: Retries, repeatable: Repeatable, *, ends_at_s: float | None
    ) -> None:
        self._retries = retries
        self._repeatable = repeatable
        self._ends_at_s = ends_at_s
        self._num_made = 1
        self._has_begun = False
        self._may_live_on = False

    def begun(self) -> None:
        """An event came: from now on a failure is the end."""
        self._has_begun = True

    def left_s(self, now_s: float) -> float | None:
        """What the next attempt may take, 0 or more; None = as long as it wants."""
        return None if self._ends_at_s is None else max(0.0, self._ends_at_s - now_s)

    def pause_after(self, error: ServiceError, *, now_s: float, drawn: float) -> float | None:
        """Seconds to wait before the next attempt; None where `error` is the end.

        Args:
            error: what the attempt ended with.
            now_s: when that was.
            drawn: 0 to 1, evenly at random: callers that failed together do not come back together.
        """
        if self._num_made >= self._retries.max_attempts or not self._may_repeat(error):
            return None
        if (error.retry_after_s or 0.0) > self._retries.max_pause_s:
            return None
        pause_s = min(self._pause_s(error, drawn), self._retries.max_pause_s)
        left_s = self.left_s(now_s)
        if left_s is not None and pause_s >= left_s:
            return None
        self._num_made += 1
        return pause_s

    def _pause_s(self, error: ServiceError, drawn: float) -> float:
        """What the server asks for, and a drawn part of a bound that doubles each time."""
        bound_s = self._retries.first_pause_s * 2.0 ** min(self._num_made - 1, _MAX_DOUBLINGS)
        return (error.retry_after_s or 0.0) + drawn * min(bound_s, self._retries.max_pause_s)

    def _may_repeat(self, error: ServiceError) -> bool:
        if self._has_begun or self._repeatable is Repeatable.NEVER:
            return False
        match error:
            case Overloaded():
                return error.retry_after_s is not None
            case Unavailable():
                return self._may_repeat_unavailable(error)
            case AlreadyExists():
                # The id is our own earlier attempt's: its server has not seen it leave yet.
                return self._may_live_on
            case _:
                return False

    def _may_repeat_unavailable(self, error: Unavailable) -> bool:
        if error.reason in _NOT_BEGUN or error.message.startswith(_NEVER_SENT):
            return True
        match self._repeatable:
            case Repeatable.ALWAYS:
                return True
            case Repeatable.UNTIL_AN_EVENT:
                self._may_live_on = error.reason == _TRANSPORT
                return self._may_live_on
            case Repeatable.UNTIL_SENT | Repeatable.NEVER:
                return False
            case _:
                assert_never(self._repeatable)
