"""One service process under supervision: started, listened to, replaced when it dies, stopped."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence

from steeple_cli.conventions.exits import USAGE_ERROR

FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 30.0
HEALTHY_AFTER_S = 10.0
KILL_AFTER_S = 5.0
LINE_LIMIT = 1 << 20

LogEvent = Mapping[str, object]


class ChildRefused(Exception):
    """A service cannot start with its settings; the message is its own.

    Args:
        line: the last that it wrote.
    """

    def __init__(self, line: str) -> None:
        super().__init__(line.removeprefix("error: "))


class Child:
    """A service process.

    Args:
        name: for people.
        module: `python -m module`.
        arguments: its command line.
        on_log: gets each of its log events, and each other line as {"event": line}.
    """

    def __init__(
        self,
        name: str,
        module: str,
        arguments: Sequence[str],
        on_log: Callable[[str, LogEvent], None],
    ) -> None:
        self.name = name
        self._command = (sys.executable, "-m", module, *arguments)
        self._on_log = on_log
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()

    async def keep_running(self) -> None:
        """Run the service until `stop`; start it again with growing pauses when it dies.

        Raises:
            ChildRefused: its settings are wrong, so that starting again is useless.
        """
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE_S
        while not self._stopping.is_set():
            started = loop.time()
            last_line = await self._run_once()
            if self._stopping.is_set() or self._process is None:
                return
            if self._process.returncode == USAGE_ERROR:
                raise ChildRefused(last_line)
            pause = FIRST_PAUSE_S if loop.time() - started > HEALTHY_AFTER_S else 2 * pause
            pause = min(pause, MAX_PAUSE_S)
            died = {"event": "service_died", "level": "error", "restart_in_s": pause}
            self._on_log(self.name, {**died, "status": self._process.returncode})
            await self._pause(pause)

    async def stop(self, grace_s: float) -> None:
        """Let it drain; kill it if it is still there after the grace."""
        self._stopping.set()
        if self._process is None or self._process.returncode is not None:
            return
        self._begin_drain()
        try:
            await asyncio.wait_for(self._process.wait(), grace_s + KILL_AFTER_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    def _begin_drain(self) -> None:
        """End its standard input: unlike a signal, that can never be taken for a second one."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def hurry(self) -> None:
        """Signal it: it ends at once, without what is left of its grace, and stays ended."""
        self._stopping.set()
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)

    async def _pause(self, seconds: float) -> None:
        """Wait, but not beyond the stop."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _run_once(self) -> str:
        """Run it to its end; the last line it wrote."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            # Held open for its whole life: if this process is killed, the service sees the end.
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            # Ctrl-C is for us alone: the services stop in our order.
            start_new_session=True,
            limit=LINE_LIMIT,
        )
        assert self._process.stderr is not None  # noqa: S101 - a pipe was asked for
        if self._stopping.is_set():
            # The stop came while the process was being made.
            self._begin_drain()
        last = ""
        async for raw in self._process.stderr:
            last = raw.decode(errors="replace").rstrip()
            self._on_log(self.name, _event_of(last))
        await self._process.wait()
        return last


def _event_of(line: str) -> LogEvent:
    try:
        event = json.loads(line)
    except ValueError:
        return {"event": line, "level": "info"}
    return event if isinstance(event, dict) else {"event": line, "level": "info"}
