"""A real Envoy with the configuration of `deploy/envoy`, in front of a gateway that runs."""

import http.client
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.deployment import ROOT, TIMEOUT_S
from tests.support.running import Running
from tests.support.waiting import eventually

CONFIG = ROOT / "deploy" / "envoy" / "envoy.yaml"
ENVOY = ROOT / ".venv" / "envoy" / "bin" / "envoy"
needs_envoy = pytest.mark.skipif(
    not ENVOY.exists(), reason="needs Envoy: `make third-party`, where it has a build"
)
LISTENS = "{ address: 127.0.0.1, port_value: 8080 }"
CALLS = "{ address: 127.0.0.1, port_value: 50051 }"
ADMIN = "admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }"


def config_for(target: str) -> str:
    """The shipped configuration, but for two ports: any free one, and the gateway's."""
    host, _, port = target.rpartition(":")
    text = CONFIG.read_text()
    assert text.count(LISTENS) == text.count(CALLS) == 1
    text = text.replace(LISTENS, "{ address: 127.0.0.1, port_value: 0 }")
    return text.replace(CALLS, f"{{ address: {host}, port_value: {port} }}")


class Envoy(Running):
    """One Envoy process; ready when entered.

    Args:
        target: HOST:PORT of the gateway.
        folder: for its files.
    """

    def __init__(self, target: str, folder: Path) -> None:
        self._config = folder / "envoy.yaml"
        self._config.write_text(config_for(target))
        self._admin_at = folder / "admin"
        self._process: subprocess.Popen[bytes] | None = None
        self._log = folder / "envoy.log"
        self.port = 0

    def begin(self) -> None:
        """Return once it sees its gateway."""
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [
                    *(str(ENVOY), "--config-path", str(self._config), "--config-yaml", ADMIN),
                    *("--admin-address-path", str(self._admin_at), "--concurrency", "1"),
                    *("--disable-hot-restart", "--log-level", "warn"),
                ],
                cwd=ROOT,  # the configuration names the descriptor set from there
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        eventually(self._has_begun, self.told)
        self.port = self._listening_at()
        eventually(self._is_ready, self.told)

    @property
    def target(self) -> str:
        """Where clients connect."""
        return f"127.0.0.1:{self.port}"

    def told(self) -> str:
        """Its log, for a failing test."""
        return self._log.read_text()

    def stop(self) -> None:
        """End it. Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(TIMEOUT_S)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> "Answer":
        """One call with a JSON body, and its whole answer."""
        with self.calling(method, path, body, **headers) as response:
            return Answer(response.status, response.read().decode())

    @contextmanager
    def calling(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> Iterator[http.client.HTTPResponse]:
        """The same, but the answer is read by the block; then the connection is closed."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        data = None if body is None else body if isinstance(body, str) else json.dumps(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body=data, headers=named)
            with connection.getresponse() as response:
                yield response
        finally:
            connection.close()

    def _has_begun(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.told()
        return self._admin_at.exists() and ":" in self._admin_at.read_text()

    def _is_ready(self) -> bool:
        try:
            return self.call("GET", "/healthz").status == 200
        except ConnectionRefusedError:  # it asks its clusters' names first
            return False

    def _listening_at(self) -> int:
        host, _, port = self._admin_at.read_text().rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT_S)
        try:
            connection.request("GET", "/listeners?format=json")
            (told,) = json.loads(connection.getresponse().read())["listener_statuses"]
        finally:
            connection.close()
        return int(told["local_address"]["socket_address"]["port_value"])


class Answer:
    """What came back: the HTTP status, and JSON."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        self.text = text

    @property
    def json(self) -> Any:
        """The one document."""
        return json.loads(self.text)

    @property
    def lines(self) -> list[Any]:
        """One document per line."""
        return [json.loads(line) for line in self.text.splitlines() if line]
