"""LoadService over a real channel: what it tells, its bounds, and how a watch ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
import pytest

from gateway.admission import Admission
from gateway.engine_history import EngineHistory
from gateway.load_window import LoadWindow
from gateway.pipeline import Pipeline
from gateway.request_limits import RequestLimits
from gateway.services.load import LoadService
from gateway.upstream_values import EngineReport
from gateway.watchers import MAX_WATCHERS, Watchers
from steeple.inference.v1 import load_service_pb2, load_service_pb2_grpc
from steeple_rpc.channel import channel_options, open_channel
from steeple_rpc.errors import InvalidRequest, Overloaded, Unavailable
from steeple_rpc.outbox import MAX_WAIT_S
from tests.support.gateway_fakes import (
    MODEL,
    FakeBackends,
    FakeEngine,
    FakeUpstream,
    catalog_of,
    ended,
    engine_state,
    first,
    generation_request,
    tokens,
)
from tests.support.servers import drained, failure, serving
from tests.support.waiting import LIMIT_S

# They exist in the stubs only.
Stub = Any
MS = 1_000_000
SHORT_S = 0.5
NARROW = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 512))
"""Room for a few messages."""


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def worked(**report: Any) -> Any:
    """What an engine is told to do that ran 20 steps for 40 tokens in 4 seconds."""
    history = EngineHistory()
    history.note(EngineReport(), 0.0)
    history.note(EngineReport(num_steps=20, num_output_tokens=40, **report), 4.0)
    return history.work


def behind(upstream: FakeUpstream) -> Any:
    """Plays the backends of one engine."""
    return FakeBackends(catalog_of(engine_state()), [upstream])


class Harness:
    """A gateway's load, everything behind it scripted; its clock moves when the test says so.

    Args:
        max_wait_s: so long a message may wait for its reader: real time.
    """

    def __init__(self, max_wait_s: float = MAX_WAIT_S) -> None:
        self.clock = Clock()
        updates = [first(queue_ns=30 * MS), tokens(0, 5), ended(1, 6)]
        self.upstream = FakeUpstream(FakeEngine(updates))
        self.backends = behind(self.upstream)
        self.admission = Admission()
        self.window = LoadWindow(self.clock)
        self.watchers = Watchers(max_wait_s=max_wait_s)
        self.service = LoadService(
            self.backends, self.admission, self.window, self.watchers, self.clock
        )
        self.pipeline = Pipeline(
            self.backends,
            self.admission,
            self.clock,
            RequestLimits(max_request_s=60.0),
            watch=self.window,
        )

    async def run(self) -> None:
        async with aclosing(self.pipeline.run(generation_request(), None)) as events:
            async for _ in events:
                pass


@pytest.fixture
async def harness(request: pytest.FixtureRequest) -> Harness:
    """Patient with readers, unless its parameter says how little."""
    return Harness(getattr(request, "param", MAX_WAIT_S))


@pytest.fixture
async def address(harness: Harness) -> AsyncIterator[str]:
    def add(server: grpc.aio.Server) -> None:
        load_service_pb2_grpc.add_LoadServiceServicer_to_server(harness.service, server)

    async with serving(add) as served:
        yield served.address


@pytest.fixture
async def stub(address: str) -> AsyncIterator[Stub]:
    async with open_channel(address) as channel:
        yield load_service_pb2_grpc.LoadServiceStub(channel)


@pytest.fixture
async def unread(address: str) -> AsyncIterator[list[Any]]:
    """Watches that nobody reads, as many as may be; so little is sent ahead that all wait soon."""
    options = [*channel_options(), *NARROW]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        narrow = load_service_pb2_grpc.LoadServiceStub(channel)
        calls = [narrow.WatchLoad(watching(100)) for _ in range(MAX_WATCHERS)]
        for call in calls:
            await call.initial_metadata()
        yield calls
        for call in calls:
            call.cancel()


async def load(stub: Stub) -> Any:
    return (await stub.GetLoad(load_service_pb2.GetLoadRequest())).load


def watching(interval_ms: int | None = None) -> load_service_pb2.WatchLoadRequest:
    return load_service_pb2.WatchLoadRequest(interval_ms=interval_ms)


# The stubs' calls are generic in their stubs only.
async def place(stub: Stub) -> Any:
    """A watch, as soon as there is a place for one."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            call = stub.WatchLoad(watching(60_000))
            with contextlib.suppress(grpc.aio.AioRpcError):
                await call.read()
                return call


async def test_an_idle_gateway_says_so(stub: Stub, harness: Harness) -> None:
    harness.clock.now += 3.0
    told = await load(stub)
    assert told.gateway.uptime_ns == told.gateway.window_ns == 3_000 * MS
    assert told.gateway.tokenizer_ready
    (model,) = told.models
    assert (model.model, model.trouble, model.num_live, model.num_permits) == (MODEL, "", 0, 4)
    assert model.inter_token == load_service_pb2.Latency()
    (engine,) = told.engines
    assert (engine.ready, engine.model, engine.runner) == (True, MODEL, "fms")
    assert not engine.HasField("work")


async def test_a_request_shows_in_the_window_and_then_no_more(stub: Stub, harness: Harness) -> None:
    await harness.run()
    (model,) = (await load(stub)).models
    assert (model.num_ended, model.num_failed) == (1, 0)
    assert (model.prompt_tokens, model.completion_tokens) == (3, 2)
    assert model.time_to_first_token.count == 1
    assert model.queue.p50_ns == pytest.approx(30 * MS, rel=0.05)
    harness.clock.now += 11.0
    (model,) = (await load(stub)).models
    assert (model.num_ended, model.completion_tokens) == (0, 0)


async def test_permits_that_are_held_are_counted(stub: Stub, harness: Harness) -> None:
    with harness.admission.permit(MODEL, "r", 4):
        assert (await load(stub)).models[0].num_live == 1


async def test_an_engine_tells_its_blocks_and_what_it_did(stub: Stub, harness: Harness) -> None:
    harness.upstream.num_here = 2
    harness.upstream.work = worked(num_running=2, num_free_blocks=7, num_total_blocks=10)
    (engine,) = (await load(stub)).engines
    work = engine.work
    assert (engine.num_here, work.num_running, work.num_free_blocks) == (2, 2, 7)
    assert (work.counted_ns, work.num_steps, work.num_output_tokens) == (4_000 * MS, 20, 40)
    assert (work.num_total_blocks, work.block_size) == (10, 16)


async def test_an_engine_that_is_away_is_told_as_such(stub: Stub, harness: Harness) -> None:
    """And why its model cannot be served: names that were seen stay."""
    away = catalog_of(engine_state())
    harness.backends.now = catalog_of()
    harness.backends.now = type(away)(
        engines=(), tokenizers=away.tokenizers, known_models=away.known_models
    )
    harness.upstream.facts = None
    told = await load(stub)
    assert list(told.engines) == [load_service_pb2.EngineLoad(ready=False)]
    assert [(m.model, m.trouble) for m in told.models] == [(MODEL, "ENGINE_NOT_READY")]


async def test_what_is_told_is_made_at_most_ten_times_a_second(
    stub: Stub, harness: Harness
) -> None:
    before = await load(stub)
    await harness.run()
    assert await load(stub) == before
    harness.clock.now += 0.1
    assert (await load(stub)).models[0].num_ended == 1


async def test_a_watch_tells_at_once_and_again(stub: Stub, harness: Harness) -> None:
    call = stub.WatchLoad(watching(100))
    try:
        assert (await call.read()).load.models[0].num_ended == 0
        await harness.run()
        harness.clock.now += 0.1
        async with asyncio.timeout(LIMIT_S):
            # The ones before were on their way already.
            while (await call.read()).load.models[0].num_ended != 1:
                pass
    finally:
        call.cancel()


@pytest.mark.parametrize("interval_ms", [0, 99, 60_001, (1 << 32) - 1])
async def test_an_interval_has_its_bounds(stub: Stub, interval_ms: int) -> None:
    error = await failure(drained(stub.WatchLoad(watching(interval_ms))))
    assert isinstance(error, InvalidRequest)
    assert (error.field, error.reason) == ("interval_ms", "OUT_OF_RANGE")
    assert str(interval_ms) in error.message


async def test_a_drain_ends_every_watch_at_once(stub: Stub, harness: Harness) -> None:
    """A screen that watches must not hold up the end of the process."""
    calls = [stub.WatchLoad(watching(60_000)) for _ in range(3)]
    for call in calls:
        await call.read()
    harness.watchers.drain()
    for call in calls:
        error = await failure(call.read())
        assert isinstance(error, Unavailable)
        assert error.reason == "DRAINING"


async def test_no_watch_begins_in_a_drain(stub: Stub, harness: Harness) -> None:
    harness.watchers.drain()
    error = await failure(drained(stub.WatchLoad(watching())))
    assert isinstance(error, Unavailable)


@pytest.mark.parametrize("harness", [SHORT_S], indirect=True)
async def test_who_watches_and_does_not_read_loses_the_place(stub: Stub, unread: list[Any]) -> None:
    """And is told so when it reads again; who reads again in time keeps it."""
    another = await place(stub)
    another.cancel()
    reading = [asyncio.create_task(failure(drained(call))) for call in unread]
    (first_told, *_), others = await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    error = await first_told
    assert isinstance(error, Overloaded)
    assert error.reason == "CLIENT_TOO_SLOW"


async def test_so_many_may_watch_and_whoever_leaves_makes_room(stub: Stub) -> None:
    calls = [stub.WatchLoad(watching(60_000)) for _ in range(MAX_WATCHERS)]
    for call in calls:
        await call.read()
    error = await failure(drained(stub.WatchLoad(watching())))
    assert isinstance(error, Overloaded)
    assert (error.reason, str(MAX_WATCHERS) in error.message) == ("TOO_MANY_WATCHERS", True)
    calls[0].cancel()
    for call in [*calls, await place(stub)]:
        call.cancel()
