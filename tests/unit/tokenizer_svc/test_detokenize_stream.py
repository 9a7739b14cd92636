"""One stream: order, the border of the event loop, and its end."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from steeple_rpc.errors import Overloaded, ServiceError
from steeple_rpc.outbox import MAX_BYTES
from tests.support.tokenizers import loaded_family
from tokenizer_svc.detokenize.commands import Open, Push, Update
from tokenizer_svc.detokenize.detokenizer import Detokenizer
from tokenizer_svc.detokenize.session_values import Progress, SessionOptions
from tokenizer_svc.detokenize.sessions import SessionTable
from tokenizer_svc.detokenize.stream import (
    _TOKEN_BYTES,
    MAX_INLINE_STEPS,
    DetokenizeStream,
    Draining,
    Notice,
)


class Clock:
    """Stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def clock() -> Clock:
    return Clock()


def table() -> SessionTable:
    return SessionTable(
        lambda _: loaded_family("byte_level").detokenizer, ttl_s=10.0, max_sessions=8
    )


@pytest.fixture
def stream(executor: ThreadPoolExecutor, clock: Clock) -> DetokenizeStream:
    return DetokenizeStream(table(), executor, clock)


def opening(session: int, *, token_texts: bool = False) -> Open:
    return Open(session=session, model="m", options=SessionOptions(token_texts=token_texts))


async def next_batch(stream: DetokenizeStream) -> list[Notice]:
    """What has gathered."""
    async for batch in stream.outbox.batches():
        return batch
    return []


async def test_what_gathered_leaves_as_one_batch(stream: DetokenizeStream) -> None:
    """In order, over several messages."""
    await stream.take([opening(1), Push(session=1, first_position=0, ids=[70])])
    await stream.take([opening(2), Push(session=2, first_position=0, ids=[71])])
    batch = await next_batch(stream)
    assert [notice.session for notice in batch if isinstance(notice, Update)] == [1, 2]


async def test_long_work_gives_the_same_as_short_work(stream: DetokenizeStream) -> None:
    """One message goes to a thread, the other does not."""
    ids = [70 + place % 20 for place in range(2 * MAX_INLINE_STEPS)]
    await stream.take([opening(1), opening(2), Push(session=1, first_position=0, ids=ids)])
    for place, token_id in enumerate(ids):
        await stream.take([Push(session=2, first_position=place, ids=[token_id])])
    texts = {1: "", 2: ""}
    for notice in await next_batch(stream):
        assert isinstance(notice, Update)
        assert isinstance(notice.outcome, Progress)
        texts[notice.session] += notice.outcome.text
    assert texts[1] == texts[2] != ""


async def test_sessions_left_alone_expire(stream: DetokenizeStream, clock: Clock) -> None:
    """By the given clock."""
    await stream.take([opening(1)])
    clock.now = 9.0
    await stream.expire()
    clock.now = 10.0
    await stream.expire()
    (notice,) = await next_batch(stream)
    assert isinstance(notice, Update)
    assert isinstance(notice.outcome, ServiceError)
    assert notice.outcome.reason == "SESSION_EXPIRED"


async def test_a_stream_that_was_left_is_not_swept_while_a_thread_is_at_work(
    executor: ThreadPoolExecutor, clock: Clock
) -> None:
    """Its caller is gone and its turn is over, but nobody can call the thread back."""
    at_work, may_go_on = threading.Event(), threading.Event()

    def find(model: str) -> Detokenizer:
        if model == "slow":
            at_work.set()
            may_go_on.wait(30)
        return loaded_family("byte_level").detokenizer

    sessions = SessionTable(find, ttl_s=10.0, max_sessions=8)
    stream = DetokenizeStream(sessions, executor, clock)
    await stream.take([opening(1)])
    long = Open(
        session=2,
        model="slow",
        options=SessionOptions(),
        prompt_tail_ids=[70] * (MAX_INLINE_STEPS + 1),
    )

    async def read() -> None:
        try:
            await stream.take([long])
        finally:
            stream.outbox.close()

    try:
        reading = asyncio.create_task(read())
        await asyncio.to_thread(at_work.wait, 30)
        clock.now = 10.0
        sweeping = asyncio.create_task(stream.expire())
        reading.cancel()
        await asyncio.wait({reading, sweeping})
        assert len(sessions) == 1
    finally:
        may_go_on.set()


async def test_an_idle_stream_ends_when_drained(stream: DetokenizeStream) -> None:
    """After telling so."""
    await stream.drain()
    assert [batch async for batch in stream.outbox.batches()] == [[Draining()]]


async def test_a_drained_stream_ends_with_its_last_session(stream: DetokenizeStream) -> None:
    """Which may go on to its end; new ones are refused."""
    await stream.take([opening(1), opening(2)])
    await stream.drain()
    await stream.take([opening(3), Push(session=1, first_position=0, ids=[70], is_final=True)])
    assert not stream.outbox.is_closed
    await stream.take([Push(session=2, first_position=0, ids=[71], is_final=True)])
    (batch,) = [batch async for batch in stream.outbox.batches()]
    assert batch[0] == Draining()
    told = [notice for notice in batch if isinstance(notice, Update)]
    assert [notice.session for notice in told] == [3, 1, 2]
    assert isinstance(told[0].outcome, ServiceError)
    assert told[0].outcome.reason == "DRAINING"


async def test_one_stream_holds_more_than_one_request_may(stream: DetokenizeStream) -> None:
    """Hundreds of outputs share it: the bound of one of them is not its own."""
    ids = [70] * (MAX_BYTES // _TOKEN_BYTES // 8)
    for session in range(8):
        push = Push(session=session, first_position=0, ids=ids, is_final=True)
        await stream.take([opening(session, token_texts=True), push])
    assert len(await next_batch(stream)) == 8


@pytest.mark.parametrize(("token_texts", "is_over"), [(False, False), (True, True)])
async def test_a_gateway_that_leaves_too_much_waiting_loses_its_stream(
    executor: ThreadPoolExecutor, clock: Clock, *, token_texts: bool, is_over: bool
) -> None:
    """Told as the stream's error; the texts of single tokens count too."""
    sessions = table()
    stream = DetokenizeStream(sessions, executor, clock, max_waiting_bytes=200)
    ids = [70] * 100
    await stream.take([opening(1), opening(2, token_texts=token_texts)])
    await stream.take([Push(session=2, first_position=0, ids=ids)])
    assert stream.outbox.is_closed is is_over
    assert len(sessions) == (0 if is_over else 2)
    if is_over:
        await stream.take([opening(3)])
        assert len(sessions) == 0
        with pytest.raises(Overloaded):
            await next_batch(stream)
