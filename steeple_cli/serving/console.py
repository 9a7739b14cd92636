"""What `steeple serve` shows: a progress bar while loading, log lines from a level up."""

import json
import sys

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from steeple_cli.serving.child import LogEvent
from steeple_rpc.telemetry import printable

_LEVELS = ("debug", "info", "warning", "error", "critical")
_COLUMNS = ("event", "level", "service", "timestamp")


class ServeConsole:
    """Renders the services' log events on stderr.

    Args:
        level: least severe level that is shown as a line.
        as_json: show lines as JSON.
    """

    def __init__(self, *, level: str, as_json: bool) -> None:
        self._level = _LEVELS.index(level)
        self._as_json = as_json
        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), console=self._console, transient=True
        )
        self._task: TaskID | None = None

    def start_loading(self) -> None:
        """Show that something is under way."""
        if self._console.is_terminal:
            self._progress.start()
            self._task = self._progress.add_task("starting", total=None)

    def stop_loading(self) -> None:
        """Remove the bar. Idempotent."""
        if self._task is not None:
            self._progress.stop()
            self._task = None

    def log(self, service: str, event: LogEvent) -> None:
        """Show one event of a service."""
        if event.get("event") == "loading" and self._task is not None:
            self._advance(event)
        level = str(event.get("level", "info"))
        if level in _LEVELS and _LEVELS.index(level) >= self._level:
            self._console.print(self._line(service, event), markup=False, soft_wrap=True)

    def tell(self, text: str) -> None:
        """Write the one line that everybody waits for, on stdout."""
        self.stop_loading()
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def _advance(self, event: LogEvent) -> None:
        if self._task is not None:
            done, total = event.get("done"), event.get("total")
            if isinstance(done, int) and isinstance(total, int):
                stage = str(event.get("stage"))
                self._progress.update(
                    self._task, description=stage, completed=done, total=max(1, total)
                )

    def _line(self, service: str, event: LogEvent) -> str:
        if self._as_json:
            return json.dumps({"service": service, **event})
        facts = " ".join(f"{k}={v}" for k, v in event.items() if k not in _COLUMNS)
        story = printable(f"{event.get('event', '')} {facts}")
        return f"{event.get('level', 'info')!s:<8} {service:<10} {story}"
