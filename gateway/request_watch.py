"""The seam through which metrics learn what becomes of requests. Pure."""

from gateway.values import Usage


class RequestWatch:
    """Told what happens to requests, as it happens; counts, times and names, never content.

    This one takes no note of it.
    """

    def admitted(self, model: str, *, limit: int) -> None:
        """A request got one of `limit` permits of its model."""

    def released(self, model: str) -> None:
        """It gave the permit back."""

    def started(self, model: str, num_prompt_tokens: int) -> None:
        """The engine computes it."""

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
