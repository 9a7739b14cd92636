"""Detokenize over a real channel: sessions, their faults, draining and leaving."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

from steeple.tokenizer.v1 import detokenize_pb2 as detok
from steeple_rpc import status
from steeple_rpc.channel import open_channel
from tests.support.tokenizer_harness import Harness, serving_tokenizers, token
from tests.support.tokenizers import loaded_family
from tests.support.waiting import LIMIT_S
from tokenizer_svc.tokenizer import TextBounds


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    async with serving_tokenizers(tmp_path) as harness:
        yield harness


def opening(session: int, model: str = "byte_level", **options: Any) -> detok.SessionCommand:
    opened = detok.OpenSession(model=model, **options)
    return detok.SessionCommand(session=session, open=opened)


def push(session: int, at: int, ids: Sequence[int], *, final: bool = False) -> detok.SessionCommand:
    pushed = detok.PushTokens(first_position=at, ids=ids, final=final)
    return detok.SessionCommand(session=session, push=pushed)


def message(*commands: detok.SessionCommand) -> detok.DetokenizeRequest:
    return detok.DetokenizeRequest(commands=commands)


async def read(call: Any) -> detok.DetokenizeResponse | None:
    """The next message; None at the end."""
    response = await call.read()
    return None if response is grpc.aio.EOF else response


async def updates_of(call: Any, count: int) -> list[detok.SessionUpdate]:
    """So many updates, however they are packed."""
    updates: list[detok.SessionUpdate] = []
    while len(updates) < count:
        response = await read(call)
        assert response is not None
        updates += response.updates
    return updates


async def test_many_sessions_share_a_stream(harness: Harness) -> None:
    """Of two models, interleaved id by id; each gets its own text."""
    texts = {n: f"session {n} 🦊 你好" for n in range(40)}
    models = {n: ("byte_level", "metaspace")[n % 2] for n in texts}
    bounds = TextBounds(max_tokens=1000, template_cpu_s=1.0)
    ids = {
        n: loaded_family(models[n]).encode(text, bounds, add_special_tokens=False).ids
        for n, text in texts.items()
    }
    call = harness.stub.Detokenize()
    await call.write(message(*(opening(n, models[n]) for n in texts)))
    for place in range(max(map(len, ids.values()))):
        live = [n for n in texts if place < len(ids[n])]
        await call.write(
            message(
                *(push(n, place, [ids[n][place]], final=place == len(ids[n]) - 1) for n in live)
            )
        )
    await call.done_writing()
    got = dict.fromkeys(texts, "")
    finals = []
    async for response in call:
        for update in response.updates:
            got[update.session] += update.text
            if update.final:
                finals.append(update.session)
                assert update.ids_consumed == len(ids[update.session])
    assert sorted(finals) == list(texts)
    for n, text in got.items():
        assert text == loaded_family(models[n]).decode(ids[n], skip_special_tokens=False)


async def test_a_stop_is_told_and_closes(harness: Harness) -> None:
    """With the ids that it took; what follows is ignored."""
    call = harness.stub.Detokenize()
    opened = opening(1, stop=["bc"], token_texts=True)
    await call.write(message(opened, push(1, 0, [token(c) for c in "abcd"])))
    (update,) = await updates_of(call, 1)
    assert (update.text, update.matched_stop, update.ids_consumed) == ("a", "bc", 3)
    assert [told.text for told in update.tokens] == ["a", "b", "c"]
    await call.write(message(push(1, 4, [token("e")]), opening(2), push(2, 0, [token("z")])))
    (update,) = await updates_of(call, 1)
    assert (update.session, update.text) == (2, "z")
    call.cancel()


async def test_faults_end_their_session_only(harness: Harness) -> None:
    """Each with its reason and field."""
    size = loaded_family("byte_level").info.vocab_size
    call = harness.stub.Detokenize()
    await call.write(
        message(
            opening(1, "x"),
            opening(2, stop=[""]),
            opening(3),
            push(3, 1, [token("a")]),
            opening(4),
            push(4, 0, [size]),
            push(5, 0, []),
            detok.SessionCommand(session=6),
            opening(7),
            push(7, 0, [token("a")]),
        )
    )
    updates = await updates_of(call, 7)
    errors = [status.from_proto(u.error) for u in updates if u.HasField("error")]
    assert [(error.reason, error.field) for error in errors] == [
        ("MODEL_NOT_FOUND", "model"),
        ("OUT_OF_RANGE", "stop[0]"),
        ("OUT_OF_ORDER", "first_position"),
        ("TOKEN_OUT_OF_RANGE", "ids"),
        ("UNKNOWN_SESSION", "session"),
        ("INVALID_REQUEST", "command"),
    ]
    assert (updates[-1].session, updates[-1].text) == (7, "a")
    call.cancel()


async def test_a_session_left_alone_expires(harness: Harness) -> None:
    call = harness.stub.Detokenize()
    await call.write(message(opening(1), push(1, 0, [token("a")])))
    await updates_of(call, 1)
    harness.clock.now = 600.0
    await harness.service.expire_sessions()
    (update,) = await updates_of(call, 1)
    assert status.from_proto(update.error).reason == "SESSION_EXPIRED"
    call.cancel()


async def test_draining_lets_sessions_end(harness: Harness) -> None:
    """The gateway is told; new sessions are refused; the stream ends with the last session."""
    call = harness.stub.Detokenize()
    await call.write(message(opening(1), push(1, 0, [token("a")])))
    await updates_of(call, 1)
    harness.service.drain()
    assert await read(call) == detok.DetokenizeResponse(draining=True)
    await call.write(message(opening(2)))
    (update,) = await updates_of(call, 1)
    assert status.from_proto(update.error).reason == "DRAINING"
    await call.write(message(push(1, 1, [token("b")], final=True)))
    (update,) = await updates_of(call, 1)
    assert (update.text, update.final) == ("b", True)
    assert await read(call) is None
    assert await call.code() is grpc.StatusCode.OK
    late = harness.stub.Detokenize()
    assert await read(late) == detok.DetokenizeResponse(draining=True)
    assert await read(late) is None


async def test_a_gateway_that_leaves_takes_its_sessions_along(harness: Harness) -> None:
    """By half-closing, and by cancelling."""
    call = harness.stub.Detokenize()
    await call.write(message(opening(1), push(1, 0, [token("a")])))
    await updates_of(call, 1)
    assert harness.service.num_streams == 1
    await call.done_writing()
    assert await read(call) is None
    assert await call.code() is grpc.StatusCode.OK
    assert harness.service.num_streams == 0
    call = harness.stub.Detokenize()
    await call.write(message(opening(1), push(1, 0, [token("a")])))
    await updates_of(call, 1)
    call.cancel()
    # Stopping waits for handlers: none may be left behind.
    await harness.server.stop(LIMIT_S)
    assert harness.service.num_streams == 0


async def test_a_malformed_message_ends_the_stream(harness: Harness, tmp_path: Path) -> None:
    """As INVALID_ARGUMENT, not as an internal fault."""
    async with open_channel(f"unix:{tmp_path}/s") as channel:
        untyped: Any = channel  # bytes instead of messages
        call = untyped.stream_stream("/steeple.tokenizer.v1.TokenizerService/Detokenize")()
        await call.write(b"\xff\xff")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
    assert status.from_call(caught.value).reason == "MALFORMED_MESSAGE"
