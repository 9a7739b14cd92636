"""A stream of the asyncio client: how it is read, and that leaving it ends the work."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from steeple_client import (
    NO_RETRIES,
    AsyncClient,
    AsyncGenerationStream,
    Cancelled,
    EngineFault,
    Event,
    Retries,
)
from steeple_client.aio_caller import AsyncCaller
from steeple_client.calls import Call
from steeple_client.credentials import Credentials
from steeple_client.retries import Repeatable
from steeple_client.terms import Terms
from tests.support.answers import generate_events, played
from tests.support.async_leaving import WAYS, Leave, loses_patience_with_a_reply
from tests.support.client_calls import FINISHED, STARTED
from tests.support.endless import EndlessAnswers
from tests.support.scripted import ScriptedInference
from tests.support.servers import Serving
from tests.support.waiting import LIMIT_S


@pytest.fixture
async def client(served: Serving) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(served.address, retries=NO_RETRIES) as client:
        yield client


@pytest.mark.parametrize("leave", WAYS)
async def test_leaving_an_async_stream_ends_its_work(
    endless: Serving, answers: EndlessAnswers, leave: Leave
) -> None:
    async with AsyncClient(endless.address) as client:
        kept = await leave(client)
        await answers.idle()
    del kept


async def test_who_loses_patience_with_a_reply_ends_its_work(
    endless: Serving, answers: EndlessAnswers
) -> None:
    async with AsyncClient(endless.address) as client:
        await loses_patience_with_a_reply(client, answers.begun())
        await answers.idle()


async def test_an_async_stream_is_under_way_before_it_is_read(
    endless: Serving, answers: EndlessAnswers
) -> None:
    async with AsyncClient(endless.address) as client:
        streams = [client.generate_stream("x") for _ in range(3)]
        await answers.begun(3)
        del streams
        await answers.idle()


async def test_a_task_that_reads_a_stream_which_another_cancels_meets_the_end(
    endless: Serving, answers: EndlessAnswers
) -> None:
    """No CancelledError: nobody cancelled that task."""
    async with AsyncClient(endless.address) as client:
        stream = client.generate_stream("x")
        reading = asyncio.create_task(_all_of(stream))
        await answers.begun()
        stream.cancel()
        assert len(await reading) <= 2
        with pytest.raises(Cancelled) as caught:
            await stream.result()
        assert caught.value.reason == "STREAM_CANCELLED"
        await answers.idle()


async def test_a_task_that_reads_while_the_client_is_closed_is_told(
    endless: Serving, answers: EndlessAnswers
) -> None:
    client = AsyncClient(endless.address)
    calls = [
        asyncio.create_task(_all_of(client.generate_stream("x"))),
        asyncio.ensure_future(client.generate("x")),
    ]
    await answers.begun(2)
    await client.close()
    for call in calls:
        with pytest.raises(Cancelled) as caught:
            await call
        assert caught.value.reason == "CLIENT_CLOSED"
    await answers.idle()


async def _all_of(stream: AsyncIterator[object]) -> list[object]:
    return [event async for event in stream]


async def test_a_closed_async_client_says_so() -> None:
    client = AsyncClient("127.0.0.1:1")
    await client.close()
    await client.close()
    with pytest.raises(Cancelled, match="closed"):
        client.generate_stream("x")
    for call in (client.generate("x"), client.model("x"), client.wait_until_ready(1.0)):
        with pytest.raises(Cancelled, match="closed"):
            await call


def test_an_async_client_may_be_made_before_its_event_loop_runs() -> None:
    """At the top of a module, as people do."""
    client = AsyncClient("127.0.0.1:1", retries=NO_RETRIES)

    async def main() -> bool:
        async with client:
            return await client.is_ready()

    assert asyncio.run(main()) is False


async def test_a_cancel_ends_the_pause_of_an_async_stream(
    served: Serving, script: ScriptedInference, asked: asyncio.Event
) -> None:
    async with AsyncClient(served.address, retries=Retries(max_pause_s=100.0)) as client:
        stream = client.generate_stream("x")
        reading = asyncio.create_task(_all_of(stream))
        await asked.wait()
        await asyncio.wait({reading}, timeout=0.05)
        stream.cancel()
        assert await asyncio.wait_for(reading, LIMIT_S) == []
    assert len(script.requests) == 1


class SilentCall:
    """A call whose read comes to its own end when the call is cancelled."""

    def __init__(self) -> None:
        self.is_read = asyncio.Event()
        self.was_cut_off = False
        self.has_ended = asyncio.Event()
        self._cancelled = asyncio.Event()

    def __call__(self, *_: object, **__: object) -> "SilentCall":
        return self

    async def read(self) -> object:
        self.is_read.set()
        try:
            await self._cancelled.wait()
        except asyncio.CancelledError:
            self.was_cut_off = True
            raise
        finally:
            self.has_ended.set()
        return grpc.aio.EOF

    def cancel(self) -> None:
        self._cancelled.set()


async def test_a_reader_that_is_cancelled_ends_the_call_and_cuts_off_no_read() -> None:
    """What a read holds is never freed if it is cut off (tests/contract/test_grpc_memory.py)."""
    silent = SilentCall()
    call: Call[Event | None] = Call(
        method=lambda _: silent,
        request=None,
        read=lambda _: None,
        repeatable=Repeatable.NEVER,
        timeout_s=None,
    )
    credentials = Credentials(None, target="127.0.0.1:1", has_tls=False)
    terms = Terms(
        target="127.0.0.1:1",
        tls=None,
        credentials=credentials,
        retries=NO_RETRIES,
        timeout_s=None,
    )
    caller = AsyncCaller(terms)
    reading = asyncio.create_task(_all_of(AsyncGenerationStream(caller, call)))
    await silent.is_read.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await asyncio.wait_for(silent.has_ended.wait(), LIMIT_S)
    assert not silent.was_cut_off
    await caller.close()


async def test_the_texts_of_an_async_stream_are_told_as_they_come(
    client: AsyncClient, script: ScriptedInference
) -> None:
    script.generate_stream = played(generate_events("4", "", "2"))
    stream = client.generate_stream("x")
    assert [stream.text + "+" + text async for text in stream.texts()] == ["4+4", "42+2"]


async def test_the_result_of_an_async_stream_is_the_whole_answer(
    client: AsyncClient, script: ScriptedInference
) -> None:
    script.generate_stream = played(generate_events("4", "2"))
    results = []
    for count in (0, 2, 5):
        stream = client.generate_stream("x")
        for _ in range(count):
            await anext(stream)
        results.append(await stream.result())
    assert results == [results[0]] * 3
    assert (results[0].text, results[0].started, results[0].finished) == ("42", STARTED, FINISHED)


async def test_the_result_of_an_async_stream_that_failed_is_its_failure(
    client: AsyncClient, script: ScriptedInference
) -> None:
    script.generate_stream = played(generate_events("4")[:2], EngineFault("internal error 1"))
    stream = client.generate_stream("x")
    told = []
    for _ in range(2):
        with pytest.raises(EngineFault) as caught:
            await stream.result()
        told.append(caught.value)
    assert told[0] is told[1]
    assert await _all_of(stream) == []


async def test_a_call_that_the_server_cancels_is_no_cancelled_task(
    client: AsyncClient, script: ScriptedInference
) -> None:
    """grpc.aio raises CancelledError for the status CANCELLED, whoever sent it."""
    script.generate_stream = played([], Cancelled("a proxy gave up"))
    with pytest.raises(Cancelled):
        await client.generate_stream("x").result()
