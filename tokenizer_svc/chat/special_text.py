"""Keeps special tokens apart from text that merely looks like them; pure.

A caller's text that spells a special token, or a part of one that the template's own text could
complete, is marked with a noncharacter before rendering. After rendering, a spelling without a
mark is the template's own. Such a one is then replaced by the token's other spelling, which no
text contains; the tokenizer that reads the result knows only the other spellings
(`twin_tokenizer.py`), so everything else is plain text to it, in its full context.

What remains the template's doing: text that it rewrites into a special token (`replace`, `upper`),
and letters of a special token that it writes right beside a caller's text for the text to complete.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from steeple_rpc.errors import InvalidRequest

SPELLING_MARK = "\ufdd0"
END_MARK = "\ufdd1"
"""Stands at the end of a message that is to be continued."""
_MARKS = tuple(chr(code) for code in range(0xFDD2, 0xFDF0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Two noncharacters that stand in a caller's text; the closing one only after the opening."""

    opening: str
    closing: str


def spelling(place: int) -> str:
    """The other spelling of the special token at `place` in the list of contents."""
    return f"{SPELLING_MARK}{place}{SPELLING_MARK}"


class SpecialText:
    """Finds spellings of special tokens.

    Args:
        contents: the spellings of all special tokens, none empty.
    """

    def __init__(self, contents: Sequence[str]) -> None:
        self._spellings = {content: spelling(n) for n, content in enumerate(contents)}
        self._single = frozenset(content for content in contents if len(content) == 1)
        self._parts = _Parts(contents)
        longest_first = sorted(contents, key=len, reverse=True)
        self._any = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        # Overlapping occurrences: looking ahead consumes nothing, so each start is tried.
        self._starts = re.compile(f"(?=({self._any.pattern}))")

    def num_spelled(self, text: str) -> int:
        """How many special tokens a tokenizer would find in `text`."""
        return sum(1 for _ in self._any.finditer(text))

    def is_suspicious(self, text: str) -> bool:
        """Whether the text spells a special token, or a part that a template could complete."""
        return self._any.search(text) is not None or self._parts.touch(text)

    def mark(self, text: str, marks: Marks) -> str:
        """The text with marks that break every special token that it spells or could complete."""
        pieces = []
        done = 0
        for match in self._starts.finditer(text):
            start = match.start()
            pieces += [text[done:start], self._broken(text[start], marks)]
            done = start + 1
        marked = "".join(pieces) + text[done:]
        return _with_edges(marked, marks) if self._parts.touch(text) else marked

    def respelled(self, rendered: str, marks: Marks) -> str:
        """The rendered text with the template's own special tokens respelled, without marks."""
        own = self._any.sub(lambda found: self._respelled_one(found, marks), rendered)
        return own.replace(marks.opening, "").replace(marks.closing, "")

    def _broken(self, first: str, marks: Marks) -> str:
        """The first character of a special token and a mark, so that the rest does not follow.

        A character that is a special token by itself is put between marks instead.
        """
        if first in self._single:
            return marks.opening + first + marks.closing
        return first + marks.opening

    def _respelled_one(self, found: re.Match[str], marks: Marks) -> str:
        text = found.string
        is_between = text.startswith(marks.closing, found.end()) and text.endswith(
            marks.opening, 0, found.start()
        )
        is_callers = found[0] in self._single and is_between
        return found[0] if is_callers else self._spellings[found[0]]


def _with_edges(text: str, marks: Marks) -> str:
    """Marks inside the white space at both ends: templates trim it."""
    inner = text.strip()
    before, _, after = text.partition(inner)
    return f"{before}{marks.opening}{inner}{marks.closing}{after}"


class _Parts:
    """The parts of special tokens that lack only punctuation: a template could add that."""

    def __init__(self, contents: Sequence[str]) -> None:
        self._endings: set[str] = set()
        self._beginnings: set[str] = set()
        self._middles: set[str] = set()
        for content in contents:
            self._add(content)
        self._max_len = max(map(len, self._endings | self._beginnings), default=0)

    def _add(self, content: str) -> None:
        size = len(content)
        firsts = [n for n in range(1, size) if _is_punctuation(content[:n])]
        lasts = [n for n in range(1, size) if _is_punctuation(content[n:])]
        self._endings |= {content[n:] for n in firsts}
        self._beginnings |= {content[:n] for n in lasts}
        self._middles |= {content[i:j] for i in firsts for j in lasts if i < j}

    def touch(self, text: str) -> bool:
        """Whether the text, trimmed, starts or ends with such a part, or is one."""
        inner = text.strip()
        lengths = range(1, min(len(inner), self._max_len) + 1)
        return inner in self._middles or any(
            inner[:n] in self._endings or inner[-n:] in self._beginnings for n in lengths
        )


def _is_punctuation(text: str) -> bool:
    return not any(char.isalnum() for char in text)


def free_marks(texts: Iterable[str]) -> Marks:
    """Marks that none of the texts contains.

    Raises:
        InvalidRequest: there are none, or a text contains a noncharacter that is reserved.
    """
    seen = set().union(*texts)
    free = [mark for mark in _MARKS if mark not in seen]
    if len(free) < 2 or seen & {SPELLING_MARK, END_MARK}:  # noqa: PLR2004 - two marks
        raise InvalidRequest(
            "the text contains U+FDD0, U+FDD1 or most of U+FDD2 to U+FDEF, which are no"
            " characters, beside text that looks like a special token",
            reason="NONCHARACTER",
            field="messages",
        )
    return Marks(opening=free[0], closing=free[1])
