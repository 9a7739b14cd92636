"""Who gets how many of the tokens that a step may compute."""

from collections.abc import Iterator

from engine_svc.core.request import Request


class Shares:
    """Counts down from `max_num_batched_tokens`; a share can be taken back."""

    def __init__(self, max_num_batched_tokens: int) -> None:
        self._left = max_num_batched_tokens
        self._shares: dict[int, tuple[Request, int]] = {}

    def __iter__(self) -> Iterator[tuple[Request, int]]:
        """Requests and their tokens, in the order in which they got them."""
        return iter(self._shares.values())

    def __contains__(self, request: Request) -> bool:
        return request.arrival_idx in self._shares

    @property
    def left(self) -> int:
        """Tokens that nobody has."""
        return self._left

    def give(self, request: Request, wanted: int) -> None:
        """Let a request compute up to `wanted` tokens; there must be some left."""
        count = min(wanted, self._left)
        self._left -= count
        self._shares[request.arrival_idx] = (request, count)

    def take_back(self, request: Request) -> None:
        """Let a request compute nothing; it may have had no share."""
        _, count = self._shares.pop(request.arrival_idx, (request, 0))
        self._left += count
