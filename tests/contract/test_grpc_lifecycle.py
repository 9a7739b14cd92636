"""Health, drain and bind as callers meet them."""

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from steeple.inference.v1 import events_pb2, generate_pb2, inference_service_pb2_grpc
from steeple_rpc.channel import open_channel
from steeple_rpc.errors import Unavailable
from steeple_rpc.lifecycle import LIVENESS, READINESS, Lifecycle, Phase
from steeple_rpc.server import BindRefused, bind, make_server
from tests.support.scripted import ScriptedInference
from tests.support.servers import ServerSettings, Serving, drained, failure, serving

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
LONG_S = 60.0
"""A grace that no test waits for: the timeouts of these tests are shorter."""

# It exists in the stubs only.
Stub: TypeAlias = "inference_service_pb2_grpc.InferenceServiceAsyncStub"

pytestmark = pytest.mark.timeout(50)


@dataclass
class Gate:
    """A stream that tells when it runs, and ends when it may."""

    entered: asyncio.Event = field(default_factory=asyncio.Event)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)

    async def stream(
        self, _: generate_pb2.GenerateStreamRequest
    ) -> AsyncGenerator[generate_pb2.GenerateStreamResponse, None]:
        self.entered.set()
        await self.may_end.wait()
        yield generate_pb2.GenerateStreamResponse()


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def served(gate: Gate) -> AsyncIterator[Serving]:
    async with serving(ScriptedInference(generate_stream=gate.stream).add_to) as served:
        yield served


@pytest.fixture
async def lifecycle(served: Serving) -> Lifecycle:
    lifecycle = Lifecycle(served.health, served.calls)
    lifecycle.start()
    return lifecycle


@pytest.fixture
async def channel(served: Serving) -> AsyncIterator[grpc.aio.Channel]:
    async with open_channel(served.address) as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Stub:
    return inference_service_pb2_grpc.InferenceServiceStub(channel)


def watch(channel: grpc.aio.Channel) -> AsyncIterator[health_pb2.HealthCheckResponse]:
    call = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
    responses: AsyncIterator[health_pb2.HealthCheckResponse] = aiter(call)
    return responses


async def state(channel: grpc.aio.Channel, service: str) -> int:
    request = health_pb2.HealthCheckRequest(service=service)
    response = await health_pb2_grpc.HealthStub(channel).Check(request)
    status: int = response.status
    return status


def running(stub: Stub) -> asyncio.Task[list[Any]]:
    """A stream under way, read to its end."""
    call = stub.GenerateStream(generate_pb2.GenerateStreamRequest())
    return asyncio.ensure_future(drained(call))


async def forever() -> None:
    await asyncio.Event().wait()


async def test_a_service_that_starts_lives_and_is_not_ready(
    lifecycle: Lifecycle, channel: grpc.aio.Channel
) -> None:
    assert await state(channel, READINESS) == NOT_SERVING
    assert await state(channel, LIVENESS) == SERVING


async def test_a_watch_gets_every_change_as_it_comes(
    lifecycle: Lifecycle, channel: grpc.aio.Channel
) -> None:
    states = watch(channel)
    assert (await anext(states)).status == NOT_SERVING
    await lifecycle.set_ready(ready=True)
    assert (await anext(states)).status == SERVING
    await lifecycle.set_ready(ready=False)
    assert (await anext(states)).status == NOT_SERVING


async def test_a_running_stream_finishes_while_new_calls_are_refused(
    lifecycle: Lifecycle, served: Serving, stub: Stub, gate: Gate
) -> None:
    """Readiness ends first; the grace is for those who are in."""
    await lifecycle.set_ready(ready=True)
    stream = running(stub)
    await gate.entered.wait()
    async with open_channel(served.address) as other:
        states = watch(other)
        assert (await anext(states)).status == SERVING
        draining = asyncio.ensure_future(
            lifecycle.drain(served.server, delay_s=0.0, grace_s=LONG_S)
        )
        assert (await anext(states)).status == NOT_SERVING
        with pytest.raises(StopAsyncIteration):
            await anext(states)
    async with open_channel(served.address) as late:
        refused = inference_service_pb2_grpc.InferenceServiceStub(late).Generate(
            generate_pb2.GenerateRequest()
        )
        assert isinstance(await failure(refused), Unavailable)
    assert not stream.done()
    gate.may_end.set()
    assert len(await stream) == 1
    await draining
    assert lifecycle.phase is Phase.STOPPED


async def test_what_runs_longer_than_the_grace_is_ended(
    lifecycle: Lifecycle, served: Serving, stub: Stub, gate: Gate
) -> None:
    stream = running(stub)
    await gate.entered.wait()
    await lifecycle.drain(served.server, delay_s=0.0, grace_s=0.05)
    error = await failure(stream)
    assert (type(error), error.reason) == (Unavailable, "DRAINING")
    assert lifecycle.phase is Phase.STOPPED


async def test_a_caller_that_does_not_read_holds_up_no_end(lifecycle: Lifecycle) -> None:
    """Its handler writes and writes: the library ends it, in its own words."""
    is_writing = asyncio.Event()

    async def flood(
        request: generate_pb2.GenerateStreamRequest,
    ) -> AsyncGenerator[generate_pb2.GenerateStreamResponse, None]:
        for _ in itertools.count():
            is_writing.set()
            delta = events_pb2.TextDelta(text="x" * 65_536)
            yield generate_pb2.GenerateStreamResponse(delta=delta)

    async with (
        serving(ScriptedInference(generate_stream=flood).add_to) as served,
        open_channel(served.address) as channel,
    ):
        stub: Stub = inference_service_pb2_grpc.InferenceServiceStub(channel)
        call = stub.GenerateStream(generate_pb2.GenerateStreamRequest())
        await is_writing.wait()
        async with asyncio.timeout(LONG_S / 2):
            await Lifecycle(served.health, served.calls).drain(
                served.server, delay_s=0.0, grace_s=0.05
            )
        assert isinstance(await failure(drained(call)), Unavailable)


async def test_nobody_who_watches_health_holds_up_the_end(
    lifecycle: Lifecycle, served: Serving, channel: grpc.aio.Channel
) -> None:
    """A balancer's open watch is no running request: an idle service ends at once."""
    await lifecycle.set_ready(ready=True)
    states = watch(channel)
    assert (await anext(states)).status == SERVING
    async with asyncio.timeout(LONG_S / 2):
        await lifecycle.drain(served.server, delay_s=0.0, grace_s=LONG_S)
    assert [told.status async for told in states] == [NOT_SERVING]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_skips_the_rest_of_the_grace(
    lifecycle: Lifecycle, served: Serving, stub: Stub, gate: Gate, number: signal.Signals
) -> None:
    stream = running(stub)
    await gate.entered.wait()
    told = asyncio.Event()
    settings = ServerSettings(grace_s=LONG_S)
    serving_on = asyncio.ensure_future(
        lifecycle.run(served.server, forever(), settings, on_drain=told.set)
    )
    # The handlers stand once `run` waits: give the loop that one turn.
    await asyncio.wait({serving_on}, timeout=0)
    os.kill(os.getpid(), number)
    await told.wait()
    assert not stream.done()
    os.kill(os.getpid(), number)
    error = await failure(stream)
    assert (type(error), error.reason) == (Unavailable, "DRAINING")
    await serving_on
    assert lifecycle.phase is Phase.STOPPED


async def test_a_second_signal_skips_the_delay_too(lifecycle: Lifecycle, served: Serving) -> None:
    lifecycle.hurry()
    lifecycle.hurry()
    settings = ServerSettings(drain_delay_s=LONG_S, grace_s=LONG_S)
    async with asyncio.timeout(LONG_S / 2):
        await lifecycle.run(served.server, forever(), settings)
    assert lifecycle.phase is Phase.STOPPED


async def test_other_reasons_to_stop_never_hurry(
    lifecycle: Lifecycle, served: Serving, stub: Stub, gate: Gate
) -> None:
    """A supervisor's end of input after a signal, or a repeated Drain, cuts nobody off."""
    stream = running(stub)
    await gate.entered.wait()
    told = asyncio.Event()
    settings = ServerSettings(grace_s=LONG_S)
    lifecycle.request_stop()
    serving_on = asyncio.ensure_future(
        lifecycle.run(served.server, forever(), settings, on_drain=told.set)
    )
    await told.wait()
    lifecycle.request_stop()
    gate.may_end.set()
    assert await stream
    await serving_on


async def test_requests_are_taken_until_the_delay_is_over(
    lifecycle: Lifecycle, served: Serving, channel: grpc.aio.Channel, stub: Stub, gate: Gate
) -> None:
    """Balancers see NOT_SERVING first; until they do, nothing is refused."""
    await lifecycle.set_ready(ready=True)
    states = watch(channel)
    assert (await anext(states)).status == SERVING
    told = asyncio.Event()
    settings = ServerSettings(drain_delay_s=LONG_S, grace_s=LONG_S)
    lifecycle.request_stop()
    serving_on = asyncio.ensure_future(
        lifecycle.run(served.server, forever(), settings, on_drain=told.set)
    )
    assert (await anext(states)).status == NOT_SERVING
    gate.may_end.set()
    assert await running(stub)
    assert not told.is_set()
    lifecycle.hurry()
    await serving_on
    assert told.is_set()


async def test_a_unix_socket_that_is_served_is_not_taken_over(tmp_path: Path) -> None:
    """The library would unlink it and leave its owner alive and unreachable."""
    settings = ServerSettings(listen=f"unix:{tmp_path}/s")
    first = make_server(settings)
    bind(first, settings)
    await first.start()
    with pytest.raises(BindRefused, match="another process serves there"):
        bind(make_server(settings), settings)
    await first.stop(0)
    second = make_server(settings)
    assert bind(second, settings) == settings.listen
    await second.stop(0)


async def test_two_services_never_share_a_port_silently(served: Serving) -> None:
    """Linux would let two processes bind one port and split the callers between them."""
    settings = ServerSettings(listen=served.address)
    with pytest.raises(BindRefused, match="--listen"):
        bind(make_server(settings), settings)
