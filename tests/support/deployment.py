"""The three services as real processes on loopback, started and stopped by a test."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steeple_client import Client
from tests.support.running import Running
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 60.0


class Service:
    """One service process whose log is kept.

    Args:
        module: `python -m module`.
        arguments: its command line, without --listen and log options.
        listen: where it serves; port 0 picks one, told by `address`.
        python: of an environment that holds its own copy of us; None = this one's, this checkout.
        environment: what is added to it.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        listen: str = "127.0.0.1:0",
        python: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.module = module
        self.events: list[dict[str, Any]] = []
        self._serving = threading.Event()
        paths = "" if python else os.pathsep.join([str(ROOT), str(ROOT / "protos")])
        self.process = subprocess.Popen(
            [
                *(python or sys.executable, "-m", module, f"--listen={listen}"),
                *("--log-format=json", "--log-level=debug", *arguments),
            ],
            env={**os.environ, "PYTHONPATH": paths, **(environment or {})},
            # `-m` looks into the current folder first.
            cwd=python.parent if python else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def address(self) -> str:
        """Where it serves; waits until it does."""
        assert self._serving.wait(TIMEOUT_S), self.told()
        told = [str(e["address"]) for e in self.events if e["event"] == "serving"]
        assert told, self.told()
        return told[0]

    def told(self) -> str:
        """Its log, for a failing test."""
        return "\n".join(json.dumps(event) for event in self.events)

    def names(self) -> list[str]:
        """The names of its log events so far."""
        return [str(event["event"]) for event in self.events]

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit status, once it has ended by itself."""
        status = self.process.wait(TIMEOUT_S)
        self._reader.join(TIMEOUT_S)
        return status

    def stop(self) -> None:
        """End it: gently, then by force. Idempotent."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait(TIMEOUT_S)
        self._reader.join(TIMEOUT_S)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            try:
                event = json.loads(line)
            except ValueError:
                event = {"event": line.rstrip(), "level": "raw"}
            self.events.append(event)
            if event["event"] == "serving":
                self._serving.set()
        self._serving.set()


class Deployment(Running):
    """Gateway, tokenizer service and one engine.

    Args:
        model_dir: with a tokenizer.
        engine: further arguments of the engine.
        gateway: further arguments of the gateway.
        tokenizer: further arguments of the tokenizer service.
    """

    def __init__(
        self,
        model_dir: Path,
        *,
        engine: Sequence[str] = (),
        gateway: Sequence[str] = (),
        tokenizer: Sequence[str] = (),
    ) -> None:
        self.tokenizer = Service("tokenizer_svc", [f"--model=demo={model_dir}", *tokenizer])
        self.engine = Service(
            "engine_svc", [f"--model={model_dir}", "--served-model-name=demo", *engine]
        )
        self._gateway_arguments = gateway
        self.gateway: Service | None = None

    def begin(self) -> None:
        """Return once the gateway serves."""
        self.gateway = Service(
            "gateway",
            [
                f"--tokenizer={self.tokenizer.address}",
                f"--engine={self.engine.address}",
                *self._gateway_arguments,
            ],
        )
        with Client(self.target) as client:
            client.wait_until_ready(TIMEOUT_S)

    @property
    def target(self) -> str:
        """Where clients connect."""
        assert self.gateway is not None
        return self.gateway.address

    def stop(self) -> None:
        """End all three. Idempotent."""
        for service in (self.gateway, self.tokenizer, self.engine):
            if service is not None:
                service.stop()


def wait_for_event(service: Service, name: str) -> None:
    """Return once the service has logged an event of this name."""
    eventually(lambda: name in service.names(), service.told)
