"""The front's seam to the core: commands go in, events come out, whatever runs in between."""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from engine_svc.core.messages import Command, CoreConfig, Event


class CoreLost(Exception):
    """The core ended without being told to, or says what cannot be understood."""


class CoreStalled(CoreLost):
    """The core lives and does not answer."""


class CoreRefused(CoreLost):
    """The core says that it cannot serve, or takes too long to become ready."""


class EngineCore(Protocol):
    """One core, from start to end. Used on one event loop."""

    async def start(self, config: CoreConfig, environment: Mapping[str, str]) -> None:
        """Bring the core to life; it starts loading at once.

        Args:
            config: what it serves.
            environment: added to the environment of a core that is a process.

        Raises:
            CoreLost: it cannot be brought to life now.
        """

    def send(self, command: Command) -> None:
        """Pass a command; what gathers before the loop turns travels together."""

    def events(self) -> AsyncIterator[Event]:
        """Everything that the core tells, in order.

        Raises:
            CoreLost: the core is gone, or cannot be understood.
        """

    async def stop(self) -> None:
        """End a core that listens, gently; by force if it does not listen after all. Idempotent."""

    async def kill(self) -> None:
        """End the core by force, whatever it does. Idempotent."""
