"""The core's end of the socket: frames of a 4-byte length and a msgpack list of messages."""

import select
import socket
import struct
from collections.abc import Sequence
from typing import Protocol

from engine_svc.core.messages import Command, Event, decode_commands, encode

HEADER = struct.Struct("!I")
_CHUNK = 1 << 16


class PeerGone(Exception):
    """The front closed the socket or died: the core has nobody to work for."""


class CorePipe(Protocol):
    """How the loop hears commands and tells events. Used by the loop's thread."""

    def receive(self, *, wait: bool) -> list[Command]:
        """All commands that have arrived; with `wait`, at least one.

        Raises:
            PeerGone: nobody is there any more.
        """

    def send(self, events: Sequence[Event]) -> None:
        """Tell events.

        Raises:
            PeerGone: nobody is there any more.
        """


class SocketPipe:
    """A CorePipe over a connected stream socket, which it owns."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        # Not select(): the socket has the number that it has in the front, which may be a high one.
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._buffer = bytearray()

    def receive(self, *, wait: bool) -> list[Command]:
        """All commands that have arrived; with `wait`, at least one."""
        commands = self._take_frames()
        while self._readable(wait=wait and not commands):
            self._buffer += self._received()
            commands += self._take_frames()
        return commands

    def send(self, events: Sequence[Event]) -> None:
        """Tell events."""
        data = encode(events)
        try:
            self._socket.sendall(HEADER.pack(len(data)) + data)
        except OSError as error:
            raise PeerGone from error

    def _readable(self, *, wait: bool) -> bool:
        return bool(self._poll.poll(None if wait else 0))

    def _received(self) -> bytes:
        try:
            data = self._socket.recv(_CHUNK)
        except OSError as error:
            # A front that ends with something unread resets the connection.
            raise PeerGone from error
        if not data:
            raise PeerGone
        return data

    def _take_frames(self) -> list[Command]:
        commands: list[Command] = []
        while len(self._buffer) >= HEADER.size:
            (length,) = HEADER.unpack_from(self._buffer)
            end = HEADER.size + length
            if len(self._buffer) < end:
                break
            commands += decode_commands(bytes(self._buffer[HEADER.size : end]))
            del self._buffer[:end]
        return commands
