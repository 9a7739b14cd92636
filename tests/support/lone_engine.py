"""One engine service without the other two, spoken to directly."""

import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from steeple.common.v1 import sampling_pb2
from steeple.engine.v1 import engine_service_pb2_grpc, generate_pb2
from steeple_rpc import status
from steeple_rpc.channel import open_sync_channel
from steeple_rpc.errors import ServiceError
from tests.support.cluster import FAKE
from tests.support.deployment import TIMEOUT_S, Service
from tests.support.pace import Pace
from tests.support.processes import runs
from tests.support.running import Running
from tests.support.waiting import eventually


class Stream:
    """Reads one request's tokens on a thread.

    Args:
        stub: of the engine.
        name: of the request.
        prompt: its ids; the fake model repeats them.
        max_tokens: of its answer.
        timeout_s: its deadline.
    """

    def __init__(
        self,
        stub: engine_service_pb2_grpc.EngineServiceStub,
        name: str,
        prompt: Sequence[int],
        *,
        max_tokens: int,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.tokens: list[int] = []
        self.error: ServiceError | None = None
        self.is_finished = False
        self.ended_at = 0.0
        self._call = stub.Generate(
            generate_pb2.GenerateRequest(
                request_id=name,
                model="demo",
                prompt_token_ids=prompt,
                sampling=sampling_pb2.SamplingParams(temperature=0.0),
                stopping=sampling_pb2.StoppingParams(max_tokens=max_tokens),
            ),
            timeout=timeout_s,
        )
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def wait_for_tokens(self, number: int = 1) -> None:
        """Return once so many are there, or none will come."""
        eventually(lambda: len(self.tokens) >= number or not self._thread.is_alive())

    def join(self) -> Self:
        """Itself, ended."""
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive()
        return self

    @property
    def reason(self) -> str | None:
        """Why it failed; None = it did not."""
        error = self.join().error
        return error.reason if error else None

    def _read(self) -> None:
        try:
            for response in self._call:
                self.tokens += response.delta.token_ids
                self.is_finished = response.HasField("finished")
        except grpc.RpcError:
            self.error = status.from_call(self._call)
        finally:
            self.ended_at = time.monotonic()


class LoneEngine(Running):
    """An engine process with a fake model; ready when entered.

    Args:
        model_dir: the model's.
        arguments: further ones.
        listen: where it serves.
        pace: of its steps; None = as its arguments say.
    """

    def __init__(
        self,
        model_dir: Path,
        *arguments: str,
        listen: str = "127.0.0.1:0",
        pace: Pace | None = None,
    ) -> None:
        self.service = Service(
            "engine_svc",
            [f"--model={model_dir}", "--served-model-name=demo", *FAKE, *arguments],
            listen=listen,
            environment=pace.variables if pace else None,
        )
        self._num_streams = 0
        self._open = ExitStack()

    def begin(self) -> None:
        """Return once it serves."""
        self._channel = self._open.enter_context(open_sync_channel(self.service.address))
        self._stub = engine_service_pb2_grpc.EngineServiceStub(self._channel)
        self.wait_until_ready()

    def stop(self) -> None:
        """End it. Idempotent."""
        self._open.close()
        self.service.stop()

    @property
    def core(self) -> psutil.Process:
        """The process of its core."""
        return core_of(self.service)

    def wait_until_ready(self, times: int = 1) -> None:
        """Return once a core became ready for so many times."""
        eventually(lambda: self.service.names().count("ready") >= times, self.service.told)

    def is_serving(self) -> bool:
        """What its health tells."""
        response = health_pb2_grpc.HealthStub(self._channel).Check(
            health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S
        )
        serving: bool = response.status == health_pb2.HealthCheckResponse.SERVING
        return serving

    def stream(self, *prompt: int, max_tokens: int = 30, timeout_s: float = TIMEOUT_S) -> Stream:
        """Begin a request."""
        self._num_streams += 1
        name = f"r{self._num_streams}"
        return Stream(self._stub, name, prompt, max_tokens=max_tokens, timeout_s=timeout_s)

    def answer(self, *prompt: int, max_tokens: int = 30) -> list[int]:
        """The tokens of a request, which must end well."""
        stream = self.stream(*prompt, max_tokens=max_tokens).join()
        assert stream.is_finished, stream.error
        return stream.tokens


def core_of(service: Service) -> psutil.Process:
    """The core of an engine's process, once it is there."""
    found: list[psutil.Process] = []

    def is_there() -> bool:
        children = psutil.Process(service.process.pid).children()
        found[:] = [child for child in children if runs(child, "engine_svc.core")]
        return bool(found)

    eventually(is_there, service.told)
    return found[0]


def assert_gone(process: psutil.Process) -> None:
    """The process ends, and nobody has to ask for it."""
    eventually(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
