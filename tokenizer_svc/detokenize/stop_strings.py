"""Finds stop strings in a growing text, across all borders; pure.

The match that ends first wins; of those that end together the one that starts first. One
automaton (Aho and Corasick, 1975) reads each character once, whatever the number of stops.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Node:
    """One prefix of some stop string."""

    depth: int
    next: "dict[str, _Node]" = field(default_factory=dict)
    fail: "_Node | None" = None
    """The longest proper suffix that is a prefix of some stop string; None at the root."""
    match: str | None = None
    """The longest stop string that ends here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """Text that can no longer become part of a stop string."""

    text: str
    matched_stop: str | None = None
    """Set where a stop string was found: `text` ends before it."""


class StopMatcher:
    """Holds back the end of a growing text that could still become a stop string.

    Args:
        stops: none of them empty.
    """

    __slots__ = ("_held", "_node", "_root")

    def __init__(self, stops: Sequence[str]) -> None:
        self._root = _automaton(stops)
        self._node = self._root
        self._held = ""

    def push(self, text: str) -> Released:
        """Take more text. After a match, nothing more may be pushed."""
        for place, char in enumerate(text):
            self._node = self._after(char)
            if self._node.match is not None:
                return self._cut(text[: place + 1], self._node.match)
        return self._released(self._held + text)

    def finish(self) -> str:
        """What is still held back, given that no text will follow."""
        held, self._held, self._node = self._held, "", self._root
        return held

    def _after(self, char: str) -> _Node:
        node = self._node
        while char not in node.next:
            if node.fail is None:
                return node
            node = node.fail
        return node.next[char]

    def _cut(self, text: str, stop: str) -> Released:
        seen = self._held + text
        self._held = ""
        return Released(text=seen[: len(seen) - len(stop)], matched_stop=stop)

    def _released(self, seen: str) -> Released:
        border = len(seen) - self._node.depth
        self._held = seen[border:]
        return Released(text=seen[:border])


def _automaton(stops: Sequence[str]) -> _Node:
    root = _Node(depth=0)
    for stop in stops:
        _add(root, stop)
    waiting = deque([root])
    while waiting:
        node = waiting.popleft()
        for char, child in node.next.items():
            child.fail = _fail_of(node, char) or root
            # A stop that ends here starts before any that ends at the suffix.
            child.match = child.match or child.fail.match
            waiting.append(child)
    return root


def _add(root: _Node, stop: str) -> None:
    node = root
    for char in stop:
        node = node.next.setdefault(char, _Node(depth=node.depth + 1))
    node.match = stop


def _fail_of(parent: _Node, char: str) -> _Node | None:
    """The suffix node of the parent's child by `char`; None for the root."""
    node = parent.fail
    while node is not None and char not in node.next:
        node = node.fail
    return None if node is None else node.next[char]
