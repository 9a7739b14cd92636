"""Starts the three services with Unix sockets between them, keeps them alive, stops them."""

import asyncio
import contextlib
import json
import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steeple_cli.child import Child, LogEvent
from steeple_cli.console import ServeConsole
from steeple_rpc.errors import DeadlineExpired


@dataclass(frozen=True, slots=True, kw_only=True)
class ServePlan:
    """What is to be served and how."""

    model_dir: Path
    model_name: str
    listen: str
    """Of the gateway: HOST:PORT."""
    grace_s: float
    startup_timeout_s: float
    log_level: str = "warning"
    metrics_port: int | None = None
    """Of the gateway, on its host; the others' follow. 0 = any; None = no metrics."""
    shared_arguments: Sequence[str] = ()
    """For every service."""
    gateway_arguments: Sequence[str] = ()
    engine_arguments: Sequence[str] = ()


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
            DeadlineExpired: the gateway was not ready in time.
        """
        # Short on purpose: a Unix socket's path has about 100 bytes.
        with tempfile.TemporaryDirectory(prefix="steeple-") as directory:
            children = self._children(Path(directory))
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
            raise DeadlineExpired(f"not ready within {limit_s:g} s", reason="NOT_READY") from None
        self._console.tell(_told(self._plan.listen, self._served, self._metrics))
        self.ready.set()

    async def _stop_all(self, children: Sequence[Child]) -> None:
        """The gateway first: while it drains, the others still work for it."""
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

    def _children(self, directory: Path) -> list[Child]:
        plan = self._plan
        engine, tokenizer = f"unix:{directory}/engine", f"unix:{directory}/tokenizer"
        # A list in JSON: a comma in a path would end an item otherwise.
        model = f"{plan.model_name}={plan.model_dir}"
        shared = (
            "--stop-on-stdin-eof",
            "--log-format=json",
            # At least info: progress is told there.
            f"--log-level={'debug' if plan.log_level == 'debug' else 'info'}",
            f"--grace-s={plan.grace_s}",
            *plan.shared_arguments,
        )
        return [
            Child(
                "gateway",
                "gateway",
                (
                    *(f"--listen={plan.listen}", f"--tokenizer={tokenizer}"),
                    *(f"--engine={engine}", *shared, *self._metrics_at(0)),
                    *plan.gateway_arguments,
                ),
                self._log,
            ),
            Child(
                "tokenizer",
                "tokenizer_svc",
                (
                    *(f"--listen={tokenizer}", f"--model={json.dumps([model])}"),
                    *(*shared, *self._metrics_at(1)),
                ),
                self._log,
            ),
            Child(
                "engine",
                "engine_svc",
                (
                    *(f"--listen={engine}", f"--model={plan.model_dir}"),
                    *(f"--served-model-name={plan.model_name}", *shared),
                    f"--startup-timeout-s={plan.startup_timeout_s}",
                    *(*self._metrics_at(2), *plan.engine_arguments),
                ),
                self._log,
            ),
        ]

    def _metrics_at(self, offset: int) -> Sequence[str]:
        port = self._plan.metrics_port
        if port is None:
            return ()
        host = self._plan.listen.rpartition(":")[0]
        return (f"--metrics-listen={host}:{port and port + offset}",)

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
    places = ", ".join(f"{address} ({service})" for service, address in sorted(metrics.items()))
    return (
        "serving {model} ({architecture}, {dtype}) on {listen}: KV cache of {kv_tokens:,} tokens,"
        " at most {max_concurrency:g} requests of {max_model_len:,} tokens at once{metrics}"
    ).format(listen=listen, metrics=f"; metrics on {places}" if places else "", **served)
