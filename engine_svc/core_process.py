"""The core as a child process: a fresh interpreter at the other end of a socketpair."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping

import msgspec

from engine_svc.core.messages import Command, CoreConfig, Event, Start, Stop, decode_events, encode
from engine_svc.core.pipe import HEADER
from engine_svc.core_link import CoreLost
from steeple_rpc.telemetry import logger

STOP_TIMEOUT_S = 0.5
KILL_TIMEOUT_S = 10.0
STREAM_LIMIT = 1 << 24
MAX_FRAME_BYTES = 1 << 26
"""Far more than a step of any size tells: whoever announces more talks nonsense."""


class CoreProcess:
    """See `core_link.EngineCore`.

    A subprocess, not a fork: gRPC's threads do not survive one, and the core's libraries must see
    an environment that was final before they were imported.
    """

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._gathered: list[Command] = []

    async def start(self, config: CoreConfig, environment: Mapping[str, str]) -> None:
        """Start the child and hand it its configuration.

        Raises:
            CoreLost: this machine has no process, memory or file left for it.
        """
        try:
            await self._spawn(environment)
        except OSError as error:
            raise CoreLost(f"it cannot be started: {error.strerror}") from error
        self.send(Start(config=config))

    def send(self, command: Command) -> None:
        """Pass a command with the next turn of the loop."""
        if not self._gathered:
            asyncio.get_running_loop().call_soon(self._flush)
        self._gathered.append(command)

    async def events(self) -> AsyncIterator[Event]:
        """Everything that the child tells, until it is gone or talks nonsense."""
        assert self._reader is not None  # noqa: S101 - start() came first
        try:
            while True:
                (length,) = HEADER.unpack(await self._reader.readexactly(HEADER.size))
                if length > MAX_FRAME_BYTES:
                    raise CoreLost(f"it announced a message of {length} bytes")
                for event in decode_events(await self._reader.readexactly(length)):
                    yield event
        except (asyncio.IncompleteReadError, OSError) as error:
            raise CoreLost("its process is gone, or closed the connection") from error
        except msgspec.DecodeError as error:
            raise CoreLost("it sent what is no message") from error

    async def stop(self) -> None:
        """Ask the child to end; kill it if it does not within STOP_TIMEOUT_S."""
        if self._process is None or self._writer is None:
            return
        self.send(Stop())
        self._flush()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT_S)
        await self.kill()

    async def kill(self) -> None:
        """Kill the child, stopped or stuck as it may be, and wait for its end."""
        if self._process is None or self._writer is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        try:
            status = await asyncio.wait_for(self._process.wait(), KILL_TIMEOUT_S)
            logger().debug("core_ended", status=status)
        except TimeoutError:
            # In the kernel, waiting for a device: nobody can do more.
            logger().error("core_unkillable", pid=self._process.pid)
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _spawn(self, environment: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "engine_svc.core",
                    str(theirs.fileno()),
                    pass_fds=(theirs.fileno(),),
                    env={**os.environ, **environment},
                    stdin=asyncio.subprocess.DEVNULL,
                )
        except BaseException:
            ours.close()
            raise
        self._reader, self._writer = await asyncio.open_connection(sock=ours, limit=STREAM_LIMIT)

    def _flush(self) -> None:
        commands, self._gathered = self._gathered, []
        if commands and self._writer is not None and not self._writer.is_closing():
            data = encode(commands)
            self._writer.write(HEADER.pack(len(data)) + data)
