"""The seam through which metrics and views learn what becomes of requests. Pure."""

from collections.abc import Iterable

from gateway.values import Usage


class RequestWatch:
    """Told what happens to requests, as it happens; counts, times and names, never content.

    This one takes no note of it.
    """

    def admitted(self, model: str, *, limit: int) -> None:
        """A request got one of `limit` permits of its model."""

    def released(self, model: str) -> None:
        """It gave the permit back."""

    def started(self, model: str, num_prompt_tokens: int, queue_s: float) -> None:
        """The engine computes it, so many seconds after it had accepted it."""

    def tokens(self, model: str, count: int, gap_s: float, *, is_first: bool) -> None:
        """A delta with `count` >= 1 new tokens goes to the caller.

        Args:
            model: served name.
            count: of completion tokens.
            gap_s: since the delta before; since the request's arrival if `is_first`.
            is_first: there was none before.
        """

    def used(self, model: str, usage: Usage) -> None:
        """A request that ended well took so much."""

    def ended(self, model: str, outcome: str) -> None:
        """It has ended: a finish reason's name, or an error's reason. No model: refused early."""

    def taken_over(self, reason: str) -> None:
        """It lost its engine and goes on, on another one or on the restarted one."""


class RequestWatches(RequestWatch):
    """Tells several watches the same, in order."""

    def __init__(self, watches: Iterable[RequestWatch]) -> None:
        self._watches = tuple(watches)

    def admitted(self, model: str, *, limit: int) -> None:
        """See RequestWatch."""
        for watch in self._watches:
            watch.admitted(model, limit=limit)

    def released(self, model: str) -> None:
        """See RequestWatch."""
        for watch in self._watches:
            watch.released(model)

    def started(self, model: str, num_prompt_tokens: int, queue_s: float) -> None:
        """See RequestWatch."""
        for watch in self._watches:
            watch.started(model, num_prompt_tokens, queue_s)

    def tokens(self, model: str, count: int, gap_s: float, *, is_first: bool) -> None:
        """See RequestWatch."""
        for watch in self._watches:
            watch.tokens(model, count, gap_s, is_first=is_first)

    def used(self, model: str, usage: Usage) -> None:
        """See RequestWatch."""
        for watch in self._watches:
            watch.used(model, usage)

    def ended(self, model: str, outcome: str) -> None:
        """See RequestWatch."""
        for watch in self._watches:
            watch.ended(model, outcome)

    def taken_over(self, reason: str) -> None:
        """See RequestWatch."""
        for watch in self._watches:
            watch.taken_over(reason)
