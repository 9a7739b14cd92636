"""What one rendering may cost, and the account of what it has cost."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class TemplateLimit(Exception):
    """The rendering costs too much; the message tells the caller which limit it met."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderLimits:
    """Bounds of one rendering."""

    max_chars: int
    """Of the result."""
    max_work: int
    """Characters and list items that all steps together may produce."""
    max_cpu_s: float
    """CPU time of the rendering thread."""


class Meter:
    """The account of one rendering; used by one thread.

    Args:
        limits: what may be spent.
        clock: CPU seconds of the calling thread.
    """

    def __init__(self, limits: RenderLimits, clock: Callable[[], float] = time.thread_time) -> None:
        self._limits = limits
        self._clock = clock
        self._work = 0
        self._end = clock() + limits.max_cpu_s

    def spend(self, amount: int) -> None:
        """Charge characters or items that were, or are about to be, produced.

        Raises:
            TemplateLimit: too much, or too late.
        """
        self._work += amount
        if self._work > self._limits.max_work:
            raise TemplateLimit("the model's chat template produces too much text")
        if self._clock() > self._end:
            raise TemplateLimit("the model's chat template takes too long")

    def check_result(self, num_chars: int) -> None:
        """Refuse a result that is too long.

        Raises:
            TemplateLimit: it is.
        """
        if num_chars > self._limits.max_chars:
            raise TemplateLimit(
                f"the rendered conversation has more than {self._limits.max_chars} characters"
            )

    def check_depth(self, value: Any) -> None:
        """Refuse a value whose text could be far longer than the value is large.

        Lists that hold one text many times cost little until somebody writes them out.

        Raises:
            TemplateLimit: its text would be too much.
        """
        if isinstance(value, str):
            return
        waiting = [value]
        while waiting:
            inner = waiting.pop()
            match inner:
                case str():
                    self.spend(len(inner))
                case dict():
                    waiting.extend(inner.keys())
                    waiting.extend(inner.values())
                    self.spend(len(inner))
                case list() | tuple():
                    waiting.extend(inner)
                    self.spend(len(inner))


def size_of(value: object) -> int:
    """Characters of a text, items of a container, 0 of anything else."""
    return len(value) if isinstance(value, str | list | tuple | dict) else 0
