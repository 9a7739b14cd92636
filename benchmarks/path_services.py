"""`steeple serve` as a child, and the CPU time of each of its processes."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Self

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

START_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 20.0
# By the module that a process runs.
_NAMES = {
    "gateway": "gateway",
    "tokenizer_svc": "tokenizer",
    "engine_svc": "engine front",
    "engine_svc.core": "engine core",
}


class Services:
    """One deployment on loopback while in the block; ready when it begins.

    Args:
        options: of `steeple serve`.
        environment: added to this process's.
    """

    def __init__(self, options: Sequence[str], environment: Mapping[str, str]) -> None:
        self._options = options
        self._environment = environment
        self.target = f"127.0.0.1:{_free_port()}"

    async def __aenter__(self) -> Self:
        port = self.target.rpartition(":")[2]
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "steeple_cli", "serve", f"--port={port}", *self._options),
            env={**os.environ, **self._environment},
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await _ready(self.target)
        except BaseException:
            await self._stop()
            raise
        self._processes = _children(self._process.pid)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds, user and system, that each process has used so far."""
        used = {name: process.cpu_times() for name, process in self._processes.items()}
        return {name: times.user + times.system for name, times in used.items()}

    async def _stop(self) -> None:
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(self._process.wait(), _STOP_TIMEOUT_S)


async def _ready(target: str) -> None:
    """Return when the deployment's health says that it serves."""
    async with grpc.aio.insecure_channel(target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        serving = health_pb2.HealthCheckResponse.SERVING
        watch = stub.Watch(health_pb2.HealthCheckRequest(), wait_for_ready=True)
        async for answer in watch:
            if answer.status == serving:
                watch.cancel()
                return


def _children(pid: int) -> dict[str, psutil.Process]:
    found = {}
    for process in psutil.Process(pid).children(recursive=True):
        command = process.cmdline()
        module = command[command.index("-m") + 1] if "-m" in command else ""
        if module in _NAMES:
            found[_NAMES[module]] = process
    missing = set(_NAMES.values()) - found.keys()
    if missing:
        raise RuntimeError(f"not running: {', '.join(sorted(missing))}")
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
