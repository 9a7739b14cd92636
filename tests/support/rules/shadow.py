"""What every slot of the KV cache must hold, told from the steps alone.

The keys and values of a token depend on all tokens before it, so a slot is known by its whole
history: a number that stands for "this token after that history". Two sequences may share a slot
only if their numbers are equal. Histories of different cache salts are different from the start.
"""

from collections.abc import Iterable, Sequence

from engine_svc.core.params import TokenId


class Shadow:
    """The histories that were written, by slot."""

    def __init__(self) -> None:
        self._slots: dict[int, int] = {}
        self._numbers: dict[tuple[int | str, TokenId], int] = {}

    def extended(
        self, histories: Sequence[int], token_ids: Iterable[TokenId], *, scope: str = ""
    ) -> list[int]:
        """The numbers of `histories` and of the tokens that follow them."""
        numbers = list(histories)
        for token_id in token_ids:
            key = (numbers[-1] if numbers else scope, token_id)
            numbers.append(self._numbers.setdefault(key, len(self._numbers) + 1))
        return numbers

    def holds(self, slot: int, history: int) -> bool:
        """Whether a slot was last written with this history."""
        return self._slots.get(slot) == history

    def is_written(self, slot: int) -> bool:
        """Whether a slot holds anything."""
        return slot in self._slots

    def write(self, slot: int, history: int) -> None:
        """Remember what a step puts into a slot."""
        self._slots[slot] = history

    def copy(self, source: int, target: int) -> None:
        """What is in one slot is in another as well."""
        self._slots[target] = self._slots[source]

    def spoil(self, slots: Iterable[int]) -> None:
        """Forget what is in slots: the step that wrote them failed."""
        for slot in slots:
            self._slots.pop(slot, None)
