"""A gateway, a tokenizer service and engines whose processes can be lost and replaced.

Upstreams listen on Unix sockets, so a replacement is found where the lost one was.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from grpc_health.v1 import health_pb2, health_pb2_grpc

from steeple.engine.v1 import engine_service_pb2_grpc, info_pb2
from steeple_client import Client
from steeple_rpc.channel import open_sync_channel
from tests.support.deployment import TIMEOUT_S, Service
from tests.support.pace import Pace
from tests.support.running import Running
from tests.support.waiting import eventually

Stub = engine_service_pb2_grpc.EngineServiceStub
FAKE = ("--runner=fake", "--fake-step-ms=5", "--max-num-seqs=8", "--max-num-batched-tokens=64")


class Cluster(Running):
    """The three services on this machine.

    Args:
        model_dir: with a tokenizer.
        directory: for sockets; a short path.
        num_engines: how many.
        engine: further arguments of each engine.
        gateway: further arguments of the gateway.
        pace: of fake engines; None = as their arguments say.
    """

    def __init__(
        self,
        model_dir: Path,
        directory: Path,
        *,
        num_engines: int = 1,
        engine: Sequence[str] = FAKE,
        gateway: Sequence[str] = (),
        pace: Pace | None = None,
    ) -> None:
        self._tokenizer_at = f"unix:{directory}/t"
        self._engines_at = [f"unix:{directory}/e{index}" for index in range(num_engines)]
        self._tokenizer_arguments = [f"--model=demo={model_dir}"]
        self._engine_arguments = [f"--model={model_dir}", "--served-model-name=demo", *engine]
        self._engine_environment = pace.variables if pace else {}
        self._ended: list[Service] = []
        self.tokenizer = self._new_tokenizer()
        self.engines = [self._new_engine(index) for index in range(num_engines)]
        self.gateway = Service("gateway", [*self.upstreams, *gateway])

    def begin(self) -> None:
        """Return once all of them serve."""
        for service in (self.tokenizer, *self.engines):
            assert service.address
        self.wait_until_ready()

    @property
    def upstreams(self) -> Sequence[str]:
        """What a gateway in front of them is told."""
        engines = (f"--engine={address}" for address in self._engines_at)
        return [f"--tokenizer={self._tokenizer_at}", *engines]

    @property
    def target(self) -> str:
        """Where clients connect."""
        return self.gateway.address

    def wait_until_ready(self) -> None:
        """Return once every engine serves and the gateway knows."""
        for address in self._engines_at:
            with open_sync_channel(address) as channel:
                health = health_pb2_grpc.HealthStub(channel)
                eventually(lambda h=health: _serves(h), self.told)  # type: ignore[misc] # bound now
        with Client(self.target) as client:
            client.wait_until_ready(TIMEOUT_S)
            eventually(lambda: client.model().num_engines == len(self.engines), self.told)

    def replace_engine(self, index: int = 0) -> Service:
        """Start an engine where an earlier one was, which has ended or is killed now."""
        self._end(self.engines[index])
        self.engines[index] = self._new_engine(index)
        return self.engines[index]

    def replace_tokenizer(self) -> Service:
        """The same for the tokenizer service."""
        self._end(self.tokenizer)
        self.tokenizer = self._new_tokenizer()
        return self.tokenizer

    @contextmanager
    def engine_stub(self, index: int = 0) -> Iterator[Stub]:
        """Straight to one engine."""
        with open_sync_channel(self._engines_at[index]) as channel:
            yield Stub(channel)

    def wait_until_idle(self) -> None:
        """Return once nothing runs, waits or holds a block on any engine; blocks add up."""
        for index in range(len(self.engines)):
            with self.engine_stub(index) as stub:
                eventually(lambda s=stub: is_idle(s), self.told)  # type: ignore[misc] # bound now

    def told(self) -> str:
        """All logs, for a failing test."""
        return "\n".join(service.told() for service in self._services())

    def stop(self) -> None:
        """End everything. Idempotent."""
        with ExitStack() as stack:
            for service in (*self._services(), *self._ended):
                stack.callback(service.stop)

    def _services(self) -> list[Service]:
        return [self.gateway, self.tokenizer, *self.engines]

    def _end(self, service: Service) -> None:
        if service.process.poll() is None:
            service.process.kill()
        service.process.wait(TIMEOUT_S)
        self._ended.append(service)

    def _new_tokenizer(self) -> Service:
        return Service("tokenizer_svc", self._tokenizer_arguments, listen=self._tokenizer_at)

    def _new_engine(self, index: int) -> Service:
        return Service(
            "engine_svc",
            self._engine_arguments,
            listen=self._engines_at[index],
            environment=self._engine_environment,
        )


def _serves(health: health_pb2_grpc.HealthStub) -> bool:
    reply = health.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S, wait_for_ready=True)
    return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)


def load_of(stub: Stub) -> info_pb2.GetLoadResponse:
    """An engine's load."""
    return stub.GetLoad(info_pb2.GetLoadRequest(), timeout=TIMEOUT_S)


def is_idle(stub: Stub) -> bool:
    """Whether nothing runs, waits or holds a block; before the first step all counts are 0."""
    load = load_of(stub)
    adds_up = load.num_free_blocks + load.num_cached_blocks == load.num_total_blocks
    return load.num_running == load.num_waiting == load.num_used_blocks == 0 and adds_up
