"""A long batch as pieces that are not too large, with room for others in between. Pure."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def slices(
    items: Sequence[Item], size: Callable[[Item], int], *, max_size: int
) -> Iterator[Sequence[Item]]:
    """The items in order, in as few pieces as may be.

    Args:
        items: any number.
        size: of one, 0 or more.
        max_size: of all in a piece; what is larger is a piece of its own.
    """
    begin, total = 0, 0
    for index, item in enumerate(items):
        total += size(item)
        if total > max_size and index > begin:
            yield items[begin:index]
            begin, total = index, size(item)
    if begin < len(items):
        yield items[begin:]
