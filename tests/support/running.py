"""What runs for a block of a test: begun whole or not at all, ended in any case."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Running(ABC):
    """Processes that belong to one block."""

    def __enter__(self) -> Self:
        try:
            self.begin()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @abstractmethod
    def begin(self) -> None:
        """Return once it can be used; what it has begun before it fails is stopped."""

    @abstractmethod
    def stop(self) -> None:
        """End all of it, also what has only half begun. Idempotent."""
