"""A stream to the tokenizer service that is lost, drains or never comes: sessions go on or end."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.clients.detokenize_session import MAX_ASIDE_IDS
from gateway.clients.detokenizer import DetokenizeClient
from steeple.tokenizer.v1 import detokenize_pb2
from steeple_rpc import status
from steeple_rpc.channel import open_channel
from steeple_rpc.errors import DeadlineExpired, Unavailable
from tests.support.detokenize_harness import (
    OPTIONS,
    Harness,
    Service,
    batch,
    end,
    first_session,
    harness_of,
    outbox,
    rest,
)
from tests.support.waiting import LIMIT_S


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    service = Service()  # type: ignore[abstract] # the other RPCs are not called
    async with harness_of(service) as harness:
        yield harness


async def test_a_session_of_a_lost_stream_goes_on_at_the_next_one(harness: Harness) -> None:
    """Ids whose text came are prior output; what nothing is known about is pushed again."""
    box = outbox()
    session = harness.client.open(OPTIONS, box)
    session.push(0, (5, 6), final=False)
    session.push(2, (7,), final=False)
    number = await first_session(harness, 3)
    harness.service.send(number, text="a", ids_consumed=1, ids_received=2)
    assert [update.text for update in await batch(box)] == ["a"]
    harness.service.answers.put_nowait(None)
    opened, pushed = [await harness.service.command() for _ in range(2)]
    assert (opened.session, list(opened.open.prior_output_ids)) == (number, [5, 6])
    assert list(opened.open.stop) == ["x"]
    assert (pushed.push.first_position, list(pushed.push.ids)) == (2, [7])
    session.push(3, (), final=True)
    assert (await harness.service.command()).push.final
    harness.service.send(number, text="bc", ids_consumed=3, ids_received=3, final=True)
    assert [update.text for update in await rest(box)] == ["bc"]
    assert harness.client._sessions == {}


async def test_what_is_pushed_while_no_stream_is_there_is_told_to_the_next_one(
    harness: Harness,
) -> None:
    async with asyncio.timeout(LIMIT_S):
        await harness.service.streams.get()
    session = harness.client.open(OPTIONS, outbox())
    await harness.service.command()
    harness.client._lose()
    session.push(0, (5,), final=False)
    late = harness.client.open(OPTIONS, outbox())
    harness.service.answers.put_nowait(None)
    told = [await harness.service.command() for _ in range(3)]
    assert [command.WhichOneof("command") for command in told] == ["open", "push", "open"]
    assert told[-1].session == late.number


async def test_asides_without_ids_are_told_again_where_their_texts_had_not_come(
    harness: Harness,
) -> None:
    """They are at the very place that the last update was true for, and may have come after it."""
    box = outbox()
    session = harness.client.open(OPTIONS, box)
    session.push(0, (5,), final=False, aside_ids=(8,))
    many = tuple(range(MAX_ASIDE_IDS + 1))
    session.push(1, (6,), final=False, aside_ids=many)
    number = await first_session(harness, 4)
    harness.service.send(number, text="a", ids_consumed=1, ids_received=1, aside_texts=["e"])
    assert (await batch(box))[0].aside_texts == {8: "e"}
    harness.service.answers.put_nowait(None)
    opened, ahead, last = [await harness.service.command() for _ in range(3)]
    assert list(opened.open.prior_output_ids) == [5]
    assert (len(ahead.push.aside_ids), list(last.push.ids)) == (MAX_ASIDE_IDS, [6])
    texts = [str(i) for i in many]
    harness.service.send(number, text="b", ids_consumed=2, ids_received=2, aside_texts=texts)
    assert (await batch(box))[0].aside_texts == {i: str(i) for i in many}


async def test_a_session_does_not_go_on_with_another_tokenizer(harness: Harness) -> None:
    """Its ids would mean something else."""
    box = outbox()
    harness.client.open(OPTIONS, box)
    await harness.service.command()
    harness.service.fingerprint = "other"
    harness.service.answers.put_nowait(None)
    assert (await end(box)).reason == "UPSTREAM_MISMATCH"
    assert harness.client._sessions == {}


async def test_sessions_end_when_no_stream_comes_in_time() -> None:
    service = Service()  # type: ignore[abstract] # the other RPCs are not called
    async with harness_of(service, pause_s=0.01) as harness:
        box = outbox()
        harness.client.open(OPTIONS, box)
        await service.command()
        # Not before the first stream is there: how soon that comes is the machine's matter.
        harness.client._patience_s = 0.05
        service.is_gone = True
        service.answers.put_nowait(None)
        error = await end(box)
        assert (type(error), error.reason) == (Unavailable, "TOKENIZER_LOST")
        with pytest.raises(Unavailable):
            harness.client.check_ready()
        with pytest.raises(Unavailable):
            harness.client.open(OPTIONS, outbox())
        service.is_gone = False
        again = outbox()
        async with asyncio.timeout(LIMIT_S):
            for _ in range(2):
                await service.begun.get()
        harness.client.open(OPTIONS, again)
        service.send((await service.command()).session, text="a", final=True)
        assert [update.text for update in await rest(again)] == ["a"]


async def test_a_session_that_expired_is_opened_again(harness: Harness) -> None:
    """Its engine was silent for long, as one that is taken over."""
    box = outbox()
    session = harness.client.open(OPTIONS, box)
    session.push(0, (5,), final=False)
    number = await first_session(harness, 2)
    harness.service.send(number, text="a", ids_consumed=1, ids_received=1)
    await batch(box)
    expired = DeadlineExpired("no token came", reason="SESSION_EXPIRED")
    harness.service.send(number, error=status.to_proto(expired))
    assert list((await harness.service.command()).open.prior_output_ids) == [5]


async def test_a_service_that_does_not_read_loses_its_sessions_and_a_new_stream_serves() -> None:
    """More waits than may: told to every session at once, and never the end of decoding."""
    service = Service()  # type: ignore[abstract] # the other RPCs are not called
    async with harness_of(service, max_command_bytes=300) as harness:
        async with asyncio.timeout(LIMIT_S):
            await service.begun.get()
        other, box = outbox(), outbox()
        harness.client.open(OPTIONS, other)
        session = harness.client.open(OPTIONS, box)
        session.push(0, tuple(range(300)), final=False)
        with pytest.raises(Unavailable):
            harness.client.open(OPTIONS, outbox())
        for ended in (other, box):
            assert (await end(ended)).reason == "TOKENIZER_LOST"
        async with asyncio.timeout(LIMIT_S):
            await service.begun.get()
        again = outbox()
        harness.client.open(OPTIONS, again)
        service.send((await service.command()).session, text="a", final=True)
        assert [update.text for update in await rest(again)] == ["a"]


async def test_a_stream_that_is_cancelled_here_is_replaced(harness: Harness) -> None:
    """Grpc's reader raises what the task's own end raises: only that may end the task."""
    async with asyncio.timeout(LIMIT_S):
        await harness.service.streams.get()
    box = outbox()
    harness.client.open(OPTIONS, box)
    await harness.service.command()
    assert harness.client._call is not None
    harness.client._call.cancel()
    async with asyncio.timeout(LIMIT_S):
        await harness.service.streams.get()
    assert (await harness.service.command()).WhichOneof("command") == "open"


async def test_a_service_that_drains_gets_no_new_sessions_and_finishes_the_old(
    harness: Harness,
) -> None:
    box = outbox()
    harness.client.open(OPTIONS, box)
    number = (await harness.service.command()).session
    draining = detokenize_pb2.DetokenizeResponse(draining=True)
    harness.service.answers.put_nowait(draining)
    harness.service.send(number, text="a", ids_consumed=1)
    await batch(box)
    with pytest.raises(Unavailable):
        harness.client.check_ready()
    late = harness.client.open(OPTIONS, outbox())
    late.push(0, (7,), final=False)
    harness.client.open(OPTIONS, outbox()).close()
    harness.service.send(number, text="b", ids_consumed=2, final=True)
    assert [update.text for update in await rest(box)] == ["b"]
    assert harness.service.commands.empty()
    harness.service.answers.put_nowait(None)
    told = [await harness.service.command() for _ in range(2)]
    assert [command.WhichOneof("command") for command in told] == ["open", "push"]
    assert {command.session for command in told} == {late.number}


async def test_without_a_stream_no_session_opens() -> None:
    service = Service()  # type: ignore[abstract] # the other RPCs are not called
    async with open_channel("127.0.0.1:1") as channel:
        client = DetokenizeClient(channel, service.learn, asyncio.get_running_loop().time)
        with pytest.raises(Unavailable) as caught:
            client.open(OPTIONS, outbox())
    assert caught.value.reason == "TOKENIZER_LOST"
