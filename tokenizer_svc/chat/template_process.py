"""One template worker, seen from the service. Used by one thread at a time."""

import signal
import socket
import subprocess
import sys

from steeple_rpc.errors import InvalidRequest
from tokenizer_svc.chat.frames import Frame, PeerLost, receive_frame, send_frame

WALL_FACTOR = 20.0
MIN_WALL_S = 10.0
"""A worker that says nothing for so long is stopped or starved, not busy: it is killed."""
START_TIMEOUT_S = 60.0
END_TIMEOUT_S = 1.0
_BYTES_PER_CHAR = 12
_FRAME_BYTES = 1 << 12


class WorkerLost(Exception):
    """The worker ended for no reason that lies in its template."""


class WorkerOverran(Exception):
    """The kernel ended the worker for the CPU time it took."""


class TemplateProcess:
    """A worker process; it starts with this object."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", "tokenizer_svc.chat.template_worker", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        self._peer = ours
        self.known: set[int] = set()
        """Numbers of the templates that it has compiled."""

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def compile(self, number: int, source: str) -> str | None:
        """Let it compile a template under a number; the reason if it cannot be used.

        Raises:
            WorkerLost: it is gone.
        """
        self._peer.settimeout(START_TIMEOUT_S)
        reply = self._asked({"template": number, "source": source}, max_chars=0)
        self.known.add(number)
        refused = reply.get("refused")
        return None if refused is None else str(refused)

    def render(self, number: int, variables: Frame, limits: dict[str, float]) -> str:
        """Render a template that it knows.

        Raises:
            InvalidRequest: TEMPLATE_FAILED, in the template's or the limit's own words.
            WorkerLost, WorkerOverran: it is gone.
        """
        self._peer.settimeout(max(MIN_WALL_S, WALL_FACTOR * limits["max_cpu_s"]))
        frame = {"template": number, "variables": variables, "limits": limits}
        reply = self._asked(frame, max_chars=int(limits["max_chars"]))
        if "text" not in reply:
            raise InvalidRequest(
                str(reply.get("failed")), reason="TEMPLATE_FAILED", field="messages"
            )
        return str(reply["text"])

    def close(self) -> None:
        """End it. Idempotent."""
        self._peer.close()
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _asked(self, frame: Frame, *, max_chars: int) -> Frame:
        try:
            send_frame(self._peer, frame)
            return receive_frame(self._peer, max_bytes=_BYTES_PER_CHAR * max_chars + _FRAME_BYTES)
        except (PeerLost, OSError) as error:
            # OSError: a timeout too. Whatever it still does is not wanted any more.
            raise self._end_of(error) from error

    def _end_of(self, error: Exception) -> Exception:
        if isinstance(error, TimeoutError):
            self._process.kill()
        self.close()
        if self._process.returncode == -signal.SIGPROF:
            return WorkerOverran()
        return WorkerLost()
