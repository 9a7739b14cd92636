"""The RPCs that handlers work on now, so that a service which ends can tell their callers why."""

import asyncio
from dataclasses import dataclass
from typing import Any

from steeple_rpc.errors import ServiceError


@dataclass(slots=True, eq=False)
class LiveCall:
    """One RPC from its handler's start to its end."""

    task: "asyncio.Task[Any] | None"
    is_writing: bool = False
    """Its message is with the library, which alone can end it now."""
    ended_with: ServiceError | None = None
    """Why the service ended it; None = it did not."""


class LiveCalls:
    """All RPCs of one server."""

    def __init__(self) -> None:
        self._calls: set[LiveCall] = set()

    def begin(self) -> LiveCall:
        """The running task is the handler of an RPC from now on."""
        call = LiveCall(asyncio.current_task())
        self._calls.add(call)
        return call

    def end(self, call: LiveCall) -> None:
        """Its handler is done. Idempotent."""
        self._calls.discard(call)

    def end_all(self, error: ServiceError) -> None:
        """Interrupt all handlers; their callers are told `error`.

        A caller that does not read keeps its handler writing: the library ends that call, in its
        own words.
        """
        for call in tuple(self._calls):
            if call.task is not None and not call.is_writing:
                call.ended_with = error
                call.task.cancel()
