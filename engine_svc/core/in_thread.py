"""The core on a thread of this process: for tests, where a process of its own is too far away.

Messages cross as bytes here too, so that what works here works over the socket.
"""

import asyncio
import queue
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence

from engine_svc.core.build import build_core
from engine_svc.core.errors import StartupError
from engine_svc.core.loop import EngineLoop
from engine_svc.core.messages import (
    Command,
    CoreConfig,
    Event,
    Failed,
    Loading,
    Ready,
    Stop,
    decode_commands,
    decode_events,
    encode,
)


class InThreadCore:
    """An EngineCore (see `engine_svc.core_link`) whose loop runs on a thread."""

    def __init__(self) -> None:
        self._commands: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._events: asyncio.Queue[bytes] = asyncio.Queue()
        self._thread: threading.Thread | None = None

    async def start(self, config: CoreConfig, environment: Mapping[str, str]) -> None:  # noqa: ARG002 - nothing inherits it
        """Start the thread."""
        pipe = _QueuePipe(self._commands, self._events, asyncio.get_running_loop())
        self._thread = threading.Thread(target=_serve, args=(config, pipe), daemon=True)
        self._thread.start()

    def send(self, command: Command) -> None:
        """Pass a command."""
        self._commands.put(encode([command]))

    async def events(self) -> AsyncIterator[Event]:
        """Everything that the loop tells."""
        while True:
            for event in decode_events(await self._events.get()):
                yield event

    async def stop(self) -> None:
        """End the loop and wait for its thread."""
        if self._thread is not None:
            self.send(Stop())
            await asyncio.to_thread(self._thread.join)

    async def kill(self) -> None:
        """A thread cannot be killed: it is asked, and not waited for."""
        if self._thread is not None:
            self.send(Stop())


class _QueuePipe:
    """A CorePipe over queues."""

    def __init__(
        self,
        commands: "queue.SimpleQueue[bytes]",
        events: "asyncio.Queue[bytes]",
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._commands = commands
        self._events = events
        self._loop = loop

    def receive(self, *, wait: bool) -> list[Command]:
        """See `CorePipe.receive`."""
        frames = [self._commands.get()] if wait else []
        while not self._commands.empty():
            frames.append(self._commands.get())
        return [command for frame in frames for command in decode_commands(frame)]

    def send(self, events: Sequence[Event]) -> None:
        """See `CorePipe.send`."""
        self._loop.call_soon_threadsafe(self._events.put_nowait, encode(events))


def _serve(config: CoreConfig, pipe: _QueuePipe) -> None:
    try:
        built = build_core(
            config,
            lambda stage, done, total: pipe.send([Loading(stage=stage, done=done, total=total)]),
        )
    except StartupError as error:
        pipe.send([Failed(message=str(error))])
        return
    pipe.send([Ready(info=built.info, longest_step_s=built.longest_step_s)])
    EngineLoop(
        built.scheduler,
        built.runner,
        pipe,
        time.monotonic,
        max_faulty_requests=config.max_faulty_requests,
    ).run()
