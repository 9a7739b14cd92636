"""A program in a terminal: what it shows, what a person types."""

import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from tests.support.waiting import LIMIT_S

_NOTICED_S = 5.0


class Terminal:
    """Runs a program whose streams are a terminal; killed at the block's end if it still runs.

    Args:
        command: its command line.
        environment: all of it. The terminal is a dumb one: no colours, no moves of the cursor.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        self.shown = ""
        self.process = subprocess.Popen(
            command,
            env={**environment, "TERM": "dumb", "INPUTRC": "/dev/null"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def until(self, end: str) -> str:
        """Everything shown so far, as soon as it ends so."""
        limit = time.monotonic() + LIMIT_S
        while not self.shown.endswith(end):
            left = limit - time.monotonic()
            ready, _, _ = select.select([self._ours], [], [], max(0.0, left))
            assert ready, f"it never came to show {end!r}: {self.shown!r}"
            self.shown += self._read()
        return self.shown

    def _read(self) -> str:
        try:
            return os.read(self._ours, 65536).decode()
        except OSError as error:
            raise AssertionError(f"it ended, and showed only {self.shown!r}") from error

    def type(self, keys: str) -> None:
        """Press these."""
        os.write(self._ours, keys.encode())

    def ctrl_c(self) -> None:
        """As the terminal would tell of it: with no terminal of its own it gets the signal."""
        self.process.send_signal(signal.SIGINT)

    def leave_prompt(self) -> None:
        """Ctrl-C where a line is read; readline may notice a signal only at the next key."""
        self.ctrl_c()
        try:
            self.process.wait(_NOTICED_S)
        except subprocess.TimeoutExpired:
            self.type("\n")

    def status(self) -> int:
        """How it ended; waits for that."""
        return self.process.wait(LIMIT_S)
