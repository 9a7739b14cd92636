"""Places for calls that generate nothing: so many at once, a part of them for one caller. Pure."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.admission import RETRY_AFTER_S, count_down
from steeple_rpc.errors import Overloaded
from steeple_rpc.principal import ANONYMOUS, Principal

PARTS = 4
"""A caller that proved its name may hold one place in so many, and one at least."""


class Places:
    """A number of places. Refuses in constant time; nobody waits here.

    Where nobody has to prove who it is, all callers are one, and share everything.

    Args:
        limit: how many there are.
        calls: what takes one, in the plural, as a refusal calls it.
        full: the reason of a refusal where all are taken.
    """

    def __init__(self, limit: int, *, calls: str, full: str) -> None:
        self._limit = limit
        self._part = max(1, limit // PARTS)
        self._calls = calls
        self._full = full
        self._num_held: Counter[str] = Counter()

    @contextmanager
    def held(self, principal: Principal = ANONYMOUS) -> Iterator[None]:
        """Hold one while in the block.

        Raises:
            Overloaded: all places are taken, or all that one caller may hold.
        """
        self._check(principal)
        self._num_held[principal.name] += 1
        try:
            yield
        finally:
            count_down(self._num_held, principal.name)

    def _check(self, principal: Principal) -> None:
        mine, all_held = self._num_held[principal.name], self._num_held.total()
        if principal.is_known and mine >= self._part:
            raise Overloaded(
                f"{mine} of your {self._calls} are live; the limit for one caller is {self._part}",
                reason="PRINCIPAL_QUOTA",
                retry_after_s=RETRY_AFTER_S,
            )
        if all_held >= self._limit:
            raise Overloaded(
                f"{all_held} {self._calls} are live; the limit is {self._limit}",
                reason=self._full,
                retry_after_s=RETRY_AFTER_S,
            )
