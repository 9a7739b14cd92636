"""A name server of the test's own: one name, whose address the test changes."""

import socket
import struct
import threading
from types import TracebackType
from typing import Self

_HEADER_BYTES = 12
_A = 1
_NO_ERROR = 0x8180
_ADDRESS = struct.Struct("!HHHIH4s")
_POINTER_TO_QUESTION = 0xC00C


class NameServer:
    """Answers every question over UDP on loopback with `address`, never to be kept."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def target(self, port: int) -> str:
        """What a channel calls to reach `port` by a name that this server knows."""
        return f"dns://127.0.0.1:{self._socket.getsockname()[1]}/engine.test.invalid:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # An empty message ends the thread: closing alone would not wake it.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            question, asker = self._socket.recvfrom(512)
            if not question:
                return
            self._socket.sendto(self._answer(question), asker)

    def _answer(self, question: bytes) -> bytes:
        # The name ends with an empty label; its type and class follow.
        end = question.index(b"\0", _HEADER_BYTES) + 5
        is_wanted = question[end - 4 : end - 2] == struct.pack("!H", _A)
        packed = socket.inet_aton(self.address)
        answer = _ADDRESS.pack(_POINTER_TO_QUESTION, _A, 1, 0, len(packed), packed)
        header = question[:2] + struct.pack("!5H", _NO_ERROR, 1, is_wanted, 0, 0)
        return header + question[_HEADER_BYTES:end] + (answer if is_wanted else b"")
