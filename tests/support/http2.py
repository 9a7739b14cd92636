"""As much of HTTP/2 (RFC 9113) as sends what a proper client would refuse to send."""

import asyncio
from collections.abc import Sequence

_SETTINGS, _HEADERS, _DATA, _RST_STREAM, _GOAWAY = 4, 1, 0, 3, 7
_END_STREAM, _END_HEADERS = 1, 4
_FRAME_BYTES = 9


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
    return head + payload


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, 0, b"")


def headers(stream: int, fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A HEADERS frame; names and values below 127 bytes, as they are (RFC 7541, 6.2.2)."""
    block = b"".join(
        bytes([0, len(name)]) + name + bytes([len(value)]) + value for name, value in fields
    )
    return _frame(_HEADERS, _END_HEADERS, stream, block)


def data(stream: int, payload: bytes) -> bytes:
    """A DATA frame, the last of its stream."""
    return _frame(_DATA, _END_STREAM, stream, payload)


async def stream_ended(reader: asyncio.StreamReader, stream: int) -> None:
    """Return once the server has ended the stream, or the connection."""
    while True:
        try:
            head = await reader.readexactly(_FRAME_BYTES)
            await reader.readexactly(int.from_bytes(head[:3], "big"))
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        kind, flags, number = head[3], head[4], int.from_bytes(head[5:], "big")
        is_last = kind == _RST_STREAM or (kind in (_HEADERS, _DATA) and flags & _END_STREAM)
        if kind == _GOAWAY or (number == stream and is_last):
            return
