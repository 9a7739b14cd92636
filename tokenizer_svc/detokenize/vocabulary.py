"""The tokens of one tokenizer, by id."""

from collections.abc import Sequence
from dataclasses import dataclass

from steeple_rpc.errors import InvalidRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """Every token's own spelling, as the tokenizer's files have it."""

    tokens: tuple[str | None, ...]
    """By id; None where an id below the size has no token."""
    special_ids: frozenset[int]
    """Control tokens: left out of text on request, never made from a caller's chat text."""

    @property
    def size(self) -> int:
        """Ids are below this."""
        return len(self.tokens)

    def check_ids(self, ids: Sequence[int], *, field: str) -> None:
        """Refuse ids that are no tokens of this vocabulary.

        Raises:
            InvalidRequest: some id >= size; names `field`.
        """
        largest = max(ids, default=0)
        if ids and largest >= self.size:
            raise InvalidRequest(
                f"token id {largest} is out of range: the vocabulary has {self.size} tokens",
                reason="TOKEN_OUT_OF_RANGE",
                field=field,
            )
