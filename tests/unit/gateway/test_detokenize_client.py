"""The one stream to the tokenizer service: commands out, text in, each session its own."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.clients.detokenize_session import MAX_ASIDE_IDS
from gateway.upstream_values import TextUpdate
from gateway.values import Token
from steeple_rpc import status
from steeple_rpc.errors import EngineFault, InvalidRequest
from steeple_rpc.outbox import Outbox
from tests.support.detokenize_harness import (
    OPTIONS,
    Harness,
    Service,
    batch,
    end,
    harness_of,
    outbox,
    rest,
)


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    service = Service()  # type: ignore[abstract] # the other RPCs are not called
    async with harness_of(service) as harness:
        yield harness


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
