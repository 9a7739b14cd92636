"""What happened in the last seconds: a ring of slots, and times counted by their size. Pure.

An event costs a few dictionary operations, whatever the window; memory is bounded by the slots.
"""

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

NUM_SLOTS = 10
SLOT_S = 1.0
Slot = TypeVar("Slot")

# Each bucket is 10 % wider than the one before: its middle is within 5 % of all that is in it.
_GROWTH = 1.1
_LOG_GROWTH = math.log(_GROWTH)
_LEAST_S = 1e-6
_GREATEST_S = 1e5


class SlidingSlots(Generic[Slot]):
    """The newest slots of time, made as something happens in them.

    Args:
        make: an empty slot.
        num_slots: that are kept, the running one among them.
        slot_s: how long each is.
    """

    def __init__(
        self, make: Callable[[], Slot], *, num_slots: int = NUM_SLOTS, slot_s: float = SLOT_S
    ) -> None:
        self._make = make
        self._num_slots = num_slots
        self._slot_s = slot_s
        self._slots: deque[tuple[int, Slot]] = deque(maxlen=num_slots)

    def at(self, now: float) -> Slot:
        """The slot that runs now; `now` never goes back."""
        number = self._number(now)
        if not self._slots or self._slots[-1][0] != number:
            self._slots.append((number, self._make()))
        return self._slots[-1][1]

    def within(self, now: float) -> list[Slot]:
        """The slots of the window that ends now, oldest first."""
        oldest = self._number(now) - self._num_slots
        return [slot for number, slot in self._slots if number > oldest]

    def window_s(self, now: float) -> float:
        """How far back the window reaches: whole slots, and the part of the running one."""
        return (self._num_slots - 1) * self._slot_s + now % self._slot_s

    def _number(self, now: float) -> int:
        return int(now // self._slot_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Percentiles of times in seconds, exact to 5 %; all 0 where there was none."""

    count: int = 0
    p50_s: float = 0.0
    p90_s: float = 0.0
    p99_s: float = 0.0


class TimeCounts:
    """How often which times were seen; what is beyond a microsecond or a day counts as that."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, seconds: float, count: int = 1) -> None:
        """Count a time so often."""
        held = min(max(seconds, _LEAST_S), _GREATEST_S)
        self._counts[math.floor(math.log(held) / _LOG_GROWTH)] += count

    def into(self, total: "Counter[int]") -> None:
        """Add all of it to a sum over several."""
        total.update(self._counts)


def latency_of(counted: Iterable[TimeCounts]) -> Latency:
    """The percentiles of all that was counted, by nearest rank."""
    total: Counter[int] = Counter()
    for counts in counted:
        counts.into(total)
    count = total.total()
    if not count:
        return Latency()
    ordered = sorted(total.items())
    return Latency(
        count=count,
        p50_s=_percentile(ordered, count, 50),
        p90_s=_percentile(ordered, count, 90),
        p99_s=_percentile(ordered, count, 99),
    )


def _percentile(ordered: list[tuple[int, int]], count: int, percent: int) -> float:
    """The middle of the bucket that has the value of that rank."""
    left = -(-percent * count // 100)
    for bucket, held in ordered:
        left -= held
        if left <= 0:
            return float(_GROWTH ** (bucket + 0.5))
    raise AssertionError("a rank is at most the count")
