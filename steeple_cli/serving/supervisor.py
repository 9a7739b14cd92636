"""Starts the three services with Unix sockets between them, keeps them alive, stops them."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from steeple_cli.serving.child import Child, LogEvent
from steeple_cli.serving.console import ServeConsole
from steeple_cli.serving.plan import MODULES, ServePlan, command_lines
from steeple_cli.serving.socket_directory import socket_directory
from steeple_cli.showing.concurrency import concurrency_text
from steeple_rpc.errors import DeadlineExpired


class Supervisor:
    """Runs one deployment of three processes on this machine; `ready` is set once it serves."""

    def __init__(self, plan: ServePlan, console: ServeConsole) -> None:
        self._plan = plan
        self._console = console
        self._stop = asyncio.Event()
        self._gateway_is_ready = asyncio.Event()
        self._served: LogEvent = {}
        self._metrics: dict[str, str] = {}
        self.ready = asyncio.Event()

    def request_stop(self) -> None:
        """Stop as a first signal would."""
        self._stop.set()

    async def run(self) -> None:
        """Serve until SIGINT or SIGTERM.

        Raises:
            ChildRefused: a service cannot start with its settings.
            SettingRefused: there is no place for the sockets between them.
            DeadlineExpired: the gateway was not ready in time.
        """
        with socket_directory() as directory:
            children = self._children(directory)
            with self._signals(children):
                running = [asyncio.create_task(child.keep_running()) for child in children]
                try:
                    await self._serve(running)
                finally:
                    self._console.stop_loading()
                    await self._stop_all(children)
                    # What else was refused meanwhile has the same end; the first is told.
                    await asyncio.gather(*running, return_exceptions=True)

    async def _serve(self, running: Sequence[asyncio.Task[None]]) -> None:
        """Until the stop, or until a service gives up."""
        self._console.start_loading()
        telling = asyncio.create_task(self._tell_when_ready())
        stopping = asyncio.create_task(self._stop.wait())
        try:
            pending = {*running, telling, stopping}
            while not stopping.done():
                done, pending = await asyncio.wait(pending, return_when="FIRST_COMPLETED")
                for task in done:
                    task.result()
        finally:
            for task in (telling, stopping):
                task.cancel()
            await asyncio.gather(telling, stopping, return_exceptions=True)

    async def _tell_when_ready(self) -> None:
        """By the gateway's own log: to call it, this process would need a certificate or a token.

        Raises:
            DeadlineExpired: it takes too long.
        """
        limit_s = self._plan.startup_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                await self._gateway_is_ready.wait()
        except TimeoutError:
            raise DeadlineExpired(
                f"not ready within {limit_s:g} s: raise --startup-timeout, or see with"
                " --log-level info what it waits for",
                reason="NOT_READY",
            ) from None
        self._console.tell(_told(self._plan.listen, self._served, self._metrics))
        self.ready.set()

    async def _stop_all(self, children: Sequence[Child]) -> None:
        """The gateway first: while it drains, the others still work for it.

        Before it served there is nothing to drain, and loading need not be waited for.
        """
        if not self.ready.is_set():
            for child in children:
                child.hurry()
        gateway, *others = children
        await gateway.stop(self._plan.grace_s)
        await asyncio.gather(*(child.stop(self._plan.grace_s) for child in others))

    @contextlib.contextmanager
    def _signals(self, children: Sequence[Child]) -> Iterator[None]:
        """The first signal stops gently, each further one hurries everybody."""
        loop = asyncio.get_running_loop()

        def stop() -> None:
            if self._stop.is_set():
                for child in children:
                    child.hurry()
            self._stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _children(self, sockets: Path) -> list[Child]:
        return [
            Child(name, MODULES[name], arguments, self._log)
            for name, arguments in command_lines(self._plan, sockets).items()
        ]

    def _log(self, service: str, event: LogEvent) -> None:
        if event.get("event") == "metrics_serving":
            self._metrics[service] = str(event.get("address"))
        if service == "gateway":
            self._note(event)
        self._console.log(service, event)

    def _note(self, event: LogEvent) -> None:
        match event.get("event"):
            case "model_served":
                self._served = event
            case "ready":
                self._gateway_is_ready.set()
            case _:
                pass


def _told(
    listen: str, served: Mapping[str, Any], metrics: Mapping[str, str]
) -> str:  # numbers and words
    """The gateway's `model_served`, and where metrics are served, for people."""
    places = ", ".join(f"{metrics[name]} ({name})" for name in MODULES if name in metrics)
    return (
        "serving {model} ({architecture}, {dtype}) on {listen}: KV cache of {kv_tokens:,} tokens,"
        " {concurrency}{metrics}"
    ).format(
        listen=listen,
        concurrency=concurrency_text(served["max_concurrency"], served["max_model_len"]),
        metrics=f"; metrics on {places}" if places else "",
        **served,
    )
