"""Messages between the service and a template worker: JSON behind its length in four bytes."""

import json
import socket
import struct
from typing import Any

# JSON objects of either side.
Frame = dict[str, Any]

_LENGTH = struct.Struct(">I")


class PeerLost(Exception):
    """The other side is gone, or speaks nonsense."""


def send_frame(peer: socket.socket, frame: Frame) -> None:
    """Send one message.

    Raises:
        OSError: the other side is gone or does not read.
    """
    # ASCII alone: a caller's text may hold halves of surrogate pairs.
    data = json.dumps(frame, separators=(",", ":")).encode("ascii")
    peer.sendall(_LENGTH.pack(len(data)) + data)


def receive_frame(peer: socket.socket, *, max_bytes: int | None = None) -> Frame:
    """Receive one message.

    Args:
        peer: blocks as long as its timeout allows.
        max_bytes: a longer message is nonsense; None = any length.

    Raises:
        PeerLost: the other side is gone, or this is no message.
        TimeoutError: nothing came in time.
    """
    (length,) = _LENGTH.unpack(_exactly(peer, _LENGTH.size))
    if max_bytes is not None and length > max_bytes:
        raise PeerLost
    try:
        frame = json.loads(_exactly(peer, length))
    except ValueError as error:
        raise PeerLost from error
    if not isinstance(frame, dict):
        raise PeerLost
    return frame


def _exactly(peer: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        try:
            part = peer.recv(min(count - len(data), 1 << 20))
        except TimeoutError:
            raise
        except OSError as error:
            raise PeerLost from error
        if not part:
            raise PeerLost
        data += part
    return bytes(data)
