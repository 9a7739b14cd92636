"""The tokens that a step may still compute."""


class TokenBudget:
    """Counts down from `max_num_batched_tokens`."""

    def __init__(self, max_num_batched_tokens: int) -> None:
        self._left = max_num_batched_tokens

    @property
    def left(self) -> int:
        """Tokens that are still free."""
        return self._left

    def take(self, wanted: int) -> int:
        """Take up to `wanted` tokens; tells how many were had."""
        count = min(wanted, self._left)
        self._left -= count
        return count
