"""What somebody who wrote an unknown name may have meant."""

from collections.abc import Iterable
from difflib import get_close_matches


def hint(word: str, known: Iterable[str], *, prefix: str = "") -> str:
    """The end of a sentence about an unknown name: "; did you mean that?", or nothing.

    Args:
        word: the unknown name.
        known: the names that there are.
        prefix: what all of them begin with, and `word`: it says nothing about likeness.
    """
    ends = {name.removeprefix(prefix) for name in known}
    meant = get_close_matches(word.removeprefix(prefix), sorted(ends), n=1)
    return f"; did you mean {prefix}{meant[0]}?" if meant else ""
