"""The health service, without a port: what watches are told, and when they end."""

import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from steeple_rpc.health import HealthService
from tests.support.waiting import LIMIT_S

State = health_pb2.HealthCheckResponse
SERVING, NOT_SERVING, UNKNOWN = State.SERVING, State.NOT_SERVING, State.SERVICE_UNKNOWN


class Watching:
    """Stands for a ServicerContext, and the caller behind it: reads only while `reads` is set."""

    def __init__(self, health: HealthService, service: str = "") -> None:
        self.told: list[int] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self._is_writing = asyncio.Event()
        request = health_pb2.HealthCheckRequest(service=service)
        context: Any = self
        self.task = asyncio.ensure_future(health.Watch(request, context))

    async def write(self, response: health_pb2.HealthCheckResponse) -> None:
        self._is_writing.set()
        await self.reads.wait()
        self.told.append(response.status)

    async def abort(self, code: grpc.StatusCode) -> None:
        raise AssertionError(code)

    async def is_told(self) -> None:
        """Return once the next write has begun."""
        async with asyncio.timeout(LIMIT_S):
            await self._is_writing.wait()
        self._is_writing.clear()

    async def ended(self) -> None:
        """Return once it has ended well."""
        async with asyncio.timeout(LIMIT_S):
            await self.task


@pytest.fixture
def health() -> HealthService:
    return HealthService()


async def test_a_watch_tells_the_state_and_each_change_once(health: HealthService) -> None:
    watching = Watching(health)
    await watching.is_told()
    for serving in (True, True, False):
        health.set("", serving=serving)
        health.set("other", serving=not serving)
        await asyncio.sleep(0)
    await watching.is_told()
    health.end_watches()
    await watching.ended()
    assert watching.told == [UNKNOWN, SERVING, NOT_SERVING]


async def test_the_last_state_is_told_before_a_watch_ends(health: HealthService) -> None:
    """However slowly its caller reads: who is told nothing takes the end for a lost connection."""
    health.set("", serving=True)
    watching = Watching(health)
    await watching.is_told()
    watching.reads.clear()
    health.set("", serving=False)
    await watching.is_told()
    health.end_watches()
    assert not (await asyncio.wait({watching.task}, timeout=0.01))[0]
    watching.reads.set()
    await watching.ended()
    assert watching.told == [SERVING, NOT_SERVING]


async def test_a_change_while_another_is_told_is_not_missed(health: HealthService) -> None:
    watching = Watching(health)
    await watching.is_told()
    watching.reads.clear()
    health.set("", serving=True)
    await watching.is_told()
    health.set("", serving=False)
    watching.reads.set()
    await watching.is_told()
    health.end_watches()
    await watching.ended()
    assert watching.told == [UNKNOWN, SERVING, NOT_SERVING]


async def test_a_watch_that_comes_late_is_told_the_state_and_ends(health: HealthService) -> None:
    health.set("", serving=False)
    health.end_watches()
    watching = Watching(health)
    await watching.ended()
    assert watching.told == [NOT_SERVING]


async def test_what_is_not_known_is_not_found(health: HealthService) -> None:
    class Refusing:
        async def abort(self, code: grpc.StatusCode) -> None:
            raise LookupError(code)

    refusing: Any = Refusing()
    request = health_pb2.HealthCheckRequest(service="who")
    with pytest.raises(LookupError, match="NOT_FOUND"):
        await health.Check(request, refusing)
    health.set("who", serving=True)
    assert (await health.Check(request, refusing)).status == SERVING
