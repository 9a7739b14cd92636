"""The one stream to the tokenizer service: commands out, text in, loss and drain told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from gateway.clients.detokenize_session import MAX_ASIDE_IDS
from gateway.clients.detokenizer import DetokenizeClient
from gateway.upstream_values import SessionOptions, TextUpdate, TokenizerFacts
from gateway.values import Token
from steeple.tokenizer.v1 import detokenize_pb2, tokenizer_service_pb2_grpc
from steeple_rpc import status
from steeple_rpc.channel import open_channel
from steeple_rpc.context import TAKEN_UP, Context
from steeple_rpc.errors import (
    DeadlineExpired,
    EngineFault,
    InvalidRequest,
    ServiceError,
    Unavailable,
)
from steeple_rpc.outbox import Outbox
from tests.support.gateway_fakes import tokenizer_facts
from tests.support.servers import serving

PATIENCE_S = 5.0
OPTIONS = SessionOptions(
    model="m",
    prompt_tail_ids=(1, 2),
    stop=("x",),
    min_tokens=3,
    skip_special_tokens=True,
    include_stop_in_output=False,
    token_texts=True,
)


@dataclass
class Service(tokenizer_service_pb2_grpc.TokenizerServiceServicer):
    """Hands every command to the test, and sends what the test wants sent."""

    commands: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    answers: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    streams: asyncio.Queue[None] = field(default_factory=asyncio.Queue)
    fingerprint: str = "f"
    is_gone: bool = False
    begun: asyncio.Queue[None] = field(default_factory=asyncio.Queue)

    async def learn(self) -> dict[str, TokenizerFacts]:
        self.begun.put_nowait(None)
        return {OPTIONS.model: tokenizer_facts(fingerprint=self.fingerprint)}

    async def Detokenize(  # noqa: N802 - named by the contract
        self, requests: AsyncIterator[detokenize_pb2.DetokenizeRequest], context: Context
    ) -> AsyncIterator[detokenize_pb2.DetokenizeResponse]:
        if self.is_gone:
            raise Unavailable("not here")
        await context.send_initial_metadata(TAKEN_UP)
        self.streams.put_nowait(None)
        taking = asyncio.ensure_future(self._take(requests))
        try:
            while (answer := await self.answers.get()) is not None:
                yield answer
        finally:
            taking.cancel()

    async def _take(self, requests: AsyncIterator[detokenize_pb2.DetokenizeRequest]) -> None:
        async for request in requests:
            for command in request.commands:
                self.commands.put_nowait(command)

    async def command(self) -> Any:
        async with asyncio.timeout(PATIENCE_S):
            return await self.commands.get()

    def send(self, session: int, **update: Any) -> None:
        made = detokenize_pb2.SessionUpdate(session=session, **update)
        self.answers.put_nowait(detokenize_pb2.DetokenizeResponse(updates=[made]))


@dataclass
class Harness:
    """A client whose stream is up."""

    client: DetokenizeClient
    service: Service


@asynccontextmanager
async def harness_of(service: Service, **options: Any) -> AsyncIterator[Harness]:
    def add(server: grpc.aio.Server) -> None:
        tokenizer_service_pb2_grpc.add_TokenizerServiceServicer_to_server(service, server)

    clock = asyncio.get_running_loop().time
    async with serving(add) as served, open_channel(served.address) as channel:
        client = DetokenizeClient(channel, service.learn, clock, **{"pause_s": 0.0, **options})
        running = asyncio.ensure_future(client.run())
        await asyncio.wait({running}, timeout=0)
        try:
            yield Harness(client, service)
        finally:
            running.cancel()
            await asyncio.wait({running})


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    service = Service()  # type: ignore[abstract] # the other RPCs are not called
    async with harness_of(service) as harness:
        yield harness


async def first_session(harness: Harness, num_commands: int) -> int:
    """The number of the session that the next commands are about; all of them have come."""
    numbers = {(await harness.service.command()).session for _ in range(num_commands)}
    (number,) = numbers
    return int(number)


def outbox() -> Outbox[TextUpdate]:
    return Outbox[TextUpdate](asyncio.get_running_loop().time)


async def batch(outbox: Outbox[TextUpdate]) -> list[TextUpdate]:
    """The next batch."""
    batches = outbox.batches()
    async with asyncio.timeout(PATIENCE_S):
        return await anext(batches)


async def rest(outbox: Outbox[TextUpdate]) -> list[TextUpdate]:
    async with asyncio.timeout(PATIENCE_S):
        return [update async for batch in outbox.batches() for update in batch]


async def end(outbox: Outbox[TextUpdate]) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        await rest(outbox)
    return caught.value


async def test_a_session_opens_with_all_that_was_asked_for(harness: Harness) -> None:
    harness.client.open(OPTIONS, outbox())
    opened = (await harness.service.command()).open
    assert (opened.model, list(opened.prompt_tail_ids), list(opened.stop)) == ("m", [1, 2], ["x"])
    assert (opened.min_tokens, opened.skip_special_tokens) == (3, True)
    assert (opened.include_stop_in_output, opened.token_texts) == (False, True)


async def test_ids_are_pushed_with_their_position(harness: Harness) -> None:
    session = harness.client.open(OPTIONS, outbox())
    session.push(0, (5, 6), final=False)
    session.push(2, (), final=True)
    await harness.service.command()
    first, last = [(await harness.service.command()).push for _ in range(2)]
    assert (first.first_position, list(first.ids), first.final) == (0, [5, 6], False)
    assert (last.first_position, list(last.ids), last.final) == (2, [], True)


async def test_text_reaches_its_own_session_until_its_end(harness: Harness) -> None:
    boxes = [outbox(), outbox()]
    for box in boxes:
        harness.client.open(OPTIONS, box)
    numbers = [(await harness.service.command()).session for _ in boxes]
    harness.service.send(numbers[1], text="b", ids_consumed=1, tokens=[{"id": 5, "text": "b"}])
    harness.service.send(numbers[0], text="a", ids_consumed=2, final=True)
    harness.service.send(numbers[1], text="c", ids_consumed=3, matched_stop="x")
    assert await rest(boxes[0]) == [TextUpdate(text="a", num_consumed=2, is_final=True)]
    assert await rest(boxes[1]) == [
        TextUpdate(text="b", num_consumed=1, tokens=(Token(token_id=5, text="b"),)),
        TextUpdate(text="c", num_consumed=3, matched_stop="x"),
    ]
    assert harness.client._sessions == {}


async def test_a_session_that_failed_ends_with_the_services_error(harness: Harness) -> None:
    box = outbox()
    harness.client.open(OPTIONS, box)
    number = (await harness.service.command()).session
    wrong = InvalidRequest(
        "id 9 is too large", reason="TOKEN_OUT_OF_RANGE", field="prompt_tail_ids"
    )
    harness.service.send(number, error=status.to_proto(wrong))
    error = await end(box)
    assert isinstance(error, InvalidRequest)
    assert vars(error) == vars(wrong)
    assert harness.client._sessions == {}


@pytest.mark.parametrize("field", ["ids", "aside_ids", "prior_output_ids", "first_position"])
async def test_output_that_cannot_be_decoded_is_the_engines_fault(
    harness: Harness, field: str
) -> None:
    """The caller sent none of it: his request is not what is wrong."""
    box = outbox()
    harness.client.open(OPTIONS, box)
    number = (await harness.service.command()).session
    wrong = InvalidRequest("id 9 is out of range", reason="TOKEN_OUT_OF_RANGE", field=field)
    harness.service.send(number, error=status.to_proto(wrong))
    error = await end(box)
    assert isinstance(error, EngineFault)
    assert (error.reason, error.field) == ("BAD_ENGINE", "")


async def test_aside_texts_find_their_ids_however_late_they_come(harness: Harness) -> None:
    box = outbox()
    session = harness.client.open(OPTIONS, box)
    number = (await harness.service.command()).session
    session.push(0, (5,), final=False, aside_ids=(7, 8))
    session.push(1, (6,), final=False, aside_ids=(8, 9))
    pushes = [(await harness.service.command()).push for _ in range(2)]
    assert [list(push.aside_ids) for push in pushes] == [[7, 8], [8, 9]]
    harness.service.send(number, text="ab", ids_consumed=2, aside_texts=["g", "h"])
    harness.service.send(number, final=True, aside_texts=["h", "i"])
    told = await rest(box)
    assert [update.aside_texts for update in told] == [{7: "g", 8: "h"}, {8: "h", 9: "i"}]


async def test_more_asides_than_a_push_may_have_go_ahead_of_the_ids(harness: Harness) -> None:
    """The update that tells the ids has all texts."""
    session = harness.client.open(OPTIONS, outbox())
    await harness.service.command()
    session.push(3, (5,), final=True, aside_ids=tuple(range(MAX_ASIDE_IDS + 1)))
    ahead, last = [(await harness.service.command()).push for _ in range(2)]
    assert (list(ahead.ids), ahead.final, len(ahead.aside_ids)) == ([], False, MAX_ASIDE_IDS)
    assert (list(last.ids), last.final) == ([5], True)
    assert list(last.aside_ids) == [MAX_ASIDE_IDS]
    assert ahead.first_position == last.first_position == 3


async def test_closing_is_told_once_and_only_while_open(harness: Harness) -> None:
    """The service forgets a session by itself when it ends; one more word would be wrong."""
    ended, left = outbox(), outbox()
    first = harness.client.open(OPTIONS, ended)
    second = harness.client.open(OPTIONS, left)
    number = (await harness.service.command()).session
    await harness.service.command()
    harness.service.send(number, final=True)
    await rest(ended)
    first.close()
    second.close()
    second.close()
    closing = await harness.service.command()
    assert closing.WhichOneof("command") == "close"
    assert closing.session == number + 1
    assert harness.service.commands.empty()
    assert harness.client._sessions == {}


async def test_text_for_a_session_that_was_left_goes_nowhere(harness: Harness) -> None:
    left, other = outbox(), outbox()
    harness.client.open(OPTIONS, left).close()
    harness.client.open(OPTIONS, other)
    harness.service.send(1, text="late", ids_consumed=1)
    harness.service.send(2, text="a", ids_consumed=1)
    assert [update.text for update in await batch(other)] == ["a"]
    left.close()
    assert await rest(left) == []


async def test_a_reader_that_is_too_slow_loses_its_session(harness: Harness) -> None:
    box = Outbox[TextUpdate](asyncio.get_running_loop().time, max_bytes=10)
    harness.client.open(OPTIONS, box)
    number = (await harness.service.command()).session
    harness.service.send(number, text="x" * 50, ids_consumed=1)
    assert (await end(box)).reason == "CLIENT_TOO_SLOW"
    assert (await harness.service.command()).WhichOneof("command") == "close"
    assert harness.client._sessions == {}


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
    async with asyncio.timeout(PATIENCE_S):
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
    async with harness_of(service, patience_s=0.05, pause_s=0.01) as harness:
        box = outbox()
        harness.client.open(OPTIONS, box)
        await service.command()
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
        async with asyncio.timeout(PATIENCE_S):
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
        async with asyncio.timeout(PATIENCE_S):
            await service.begun.get()
        other, box = outbox(), outbox()
        harness.client.open(OPTIONS, other)
        session = harness.client.open(OPTIONS, box)
        session.push(0, tuple(range(300)), final=False)
        with pytest.raises(Unavailable):
            harness.client.open(OPTIONS, outbox())
        for ended in (other, box):
            assert (await end(ended)).reason == "TOKENIZER_LOST"
        async with asyncio.timeout(PATIENCE_S):
            await service.begun.get()
        again = outbox()
        harness.client.open(OPTIONS, again)
        service.send((await service.command()).session, text="a", final=True)
        assert [update.text for update in await rest(again)] == ["a"]


async def test_a_stream_that_is_cancelled_here_is_replaced(harness: Harness) -> None:
    """Grpc's reader raises what the task's own end raises: only that may end the task."""
    async with asyncio.timeout(PATIENCE_S):
        await harness.service.streams.get()
    box = outbox()
    harness.client.open(OPTIONS, box)
    await harness.service.command()
    assert harness.client._call is not None
    harness.client._call.cancel()
    async with asyncio.timeout(PATIENCE_S):
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
