"""The phases of a service process, without a port."""

import asyncio
import os
import sys
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
import structlog
from grpc_health.v1 import health_pb2

from steeple_rpc.health import HealthService
from steeple_rpc.lifecycle import FAREWELL_S, LIVENESS, READINESS, Lifecycle, Phase
from tests.support.servers import ServerSettings

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class FakeServer:
    """Stops at once; remembers with which grace."""

    def __init__(self) -> None:
        self.graces: list[float | None] = []

    async def stop(self, grace: float | None) -> None:
        self.graces.append(grace)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def health() -> HealthService:
    return HealthService()


@pytest.fixture
def lifecycle(health: HealthService) -> Lifecycle:
    return Lifecycle(health)


@pytest.fixture
def server() -> Any:  # stands for grpc.aio.Server, of which only `stop` is used
    return FakeServer()


async def forever() -> None:
    await asyncio.Event().wait()


def run(
    lifecycle: Lifecycle, server: Any, work: Coroutine[Any, Any, None], **settings: Any
) -> asyncio.Future[None]:
    running = lifecycle.run(server, work, ServerSettings(**settings))
    return asyncio.ensure_future(running)


async def test_readiness_comes_and_goes(lifecycle: Lifecycle, health: HealthService) -> None:
    lifecycle.start()
    for ready, phase, status in (
        (True, Phase.READY, SERVING),
        (True, Phase.READY, SERVING),
        (False, Phase.STARTING, NOT_SERVING),
        (True, Phase.READY, SERVING),
    ):
        await lifecycle.set_ready(ready=ready)
        assert lifecycle.phase is phase
        assert health.state(READINESS) == status
        assert health.state(LIVENESS) == SERVING


async def test_a_service_that_drains_never_becomes_ready_again(
    lifecycle: Lifecycle, health: HealthService, server: Any
) -> None:
    lifecycle.start()
    await lifecycle.drain(server, delay_s=0.0, grace_s=1.0)
    await lifecycle.set_ready(ready=True)
    assert lifecycle.phase is Phase.STOPPED
    assert health.state(READINESS) == NOT_SERVING


async def test_requests_get_the_whole_grace(lifecycle: Lifecycle, server: Any) -> None:
    await lifecycle.drain(server, delay_s=0.0, grace_s=7.0)
    assert server.graces == [7.0 + FAREWELL_S]


async def test_readiness_ends_before_new_work_is_refused_and_the_server_stops(
    lifecycle: Lifecycle, health: HealthService, server: Any
) -> None:
    """The order that balancers need: told first, refused after."""
    lifecycle.start()
    await lifecycle.set_ready(ready=True)
    seen: list[tuple[Phase, int, list[float | None]]] = []

    def on_drain() -> None:
        status = health.state(READINESS)
        seen.append((lifecycle.phase, status, list(server.graces)))

    await lifecycle.drain(server, delay_s=0.0, grace_s=1.0, on_drain=on_drain)
    assert seen == [(Phase.DRAINING, NOT_SERVING, [])]


async def test_work_goes_on_until_the_last_request_is_done(
    lifecycle: Lifecycle, server: Any
) -> None:
    ended: list[Phase] = []

    async def work() -> None:
        try:
            await forever()
        finally:
            ended.append(lifecycle.phase)

    running = run(lifecycle, server, work())
    await asyncio.wait({running}, timeout=0)
    lifecycle.request_stop()
    await running
    assert ended == [Phase.STOPPED]


async def test_a_failure_of_the_work_stops_everything_at_once(
    lifecycle: Lifecycle, server: Any
) -> None:
    async def work() -> None:
        raise RuntimeError("the work failed")

    with pytest.raises(RuntimeError, match="the work failed"):
        await run(lifecycle, server, work())
    assert server.graces == [0]


async def test_the_end_of_standard_input_stops_the_service(
    lifecycle: Lifecycle, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever held the other end is gone; bytes that come before are not the end."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        running = run(lifecycle, server, forever(), stop_on_stdin_eof=True, grace_s=3.0)
        os.write(writing, b"x")
        await asyncio.wait({running}, timeout=0)
        assert not running.done()
        os.close(writing)
        await running
    assert server.graces == [3.0 + FAREWELL_S]


async def test_standard_input_is_left_alone_unless_asked_for(
    lifecycle: Lifecycle, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    running = run(lifecycle, server, forever())
    await asyncio.wait({running}, timeout=0)
    lifecycle.request_stop()
    await running
    assert lifecycle.phase is Phase.STOPPED
