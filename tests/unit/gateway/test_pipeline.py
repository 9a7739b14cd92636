"""One request's way through the gateway; everything behind it is scripted."""

import asyncio

import pytest

from gateway.values import Finished, FinishReason, Started, TextDelta, TextPrompt, Usage
from steeple_rpc.errors import AlreadyExists, DeadlineExpired, NotFound, Overloaded, Unavailable
from tests.support.gateway_fakes import MODEL, catalog_of, engine_state
from tests.support.pipeline_harness import MAX_REQUEST_S, Harness, answering, hanging


async def test_a_request_becomes_its_events() -> None:
    harness = Harness(answering())
    events = await harness.events(prompt=TextPrompt("abc"))
    assert [type(event) for event in events] == [Started, TextDelta, Finished, Usage]
    assert events[0].num_prompt_tokens == 3  # type: ignore[union-attr] # see above
    assert events[1] == TextDelta(text="<5><6>", num_completion_tokens=2)
    assert events[2] == Finished(reason=FinishReason.MAX_TOKENS)
    assert harness.engines[0].requests[0].prompt_token_ids == tuple(map(ord, "abc"))
    assert harness.is_idle


async def test_an_unknown_model_is_refused_before_anything_is_done() -> None:
    harness = Harness(answering())
    with pytest.raises(NotFound):
        await harness.events(model="gpt")
    assert harness.backends.tokenizer.limits == []
    assert harness.is_idle


async def test_one_request_more_than_the_engines_hold_is_refused_at_once() -> None:
    harness = Harness(hanging())
    live = [harness.run(request_id=f"r{i}") for i in range(4)]
    for events in live:
        await anext(events)
    with pytest.raises(Overloaded) as caught:
        await harness.events(request_id="one more")
    assert caught.value.reason == "QUEUE_FULL"
    await live[0].aclose()
    again = harness.run(request_id="again")
    await anext(again)
    for events in (*live, again):
        await events.aclose()
    assert harness.is_idle


async def test_an_id_in_use_is_refused_and_its_owner_untouched() -> None:
    harness = Harness(hanging())
    live = harness.run()
    await anext(live)
    with pytest.raises(AlreadyExists):
        await harness.events()
    assert harness.engines[0].num_running == 1
    await live.aclose()
    assert harness.is_idle


async def test_leaving_ends_everything() -> None:
    harness = Harness(hanging())
    events = harness.run()
    await anext(events)
    assert not harness.is_idle
    await events.aclose()
    assert harness.is_idle


async def test_cancelling_ends_everything() -> None:
    harness = Harness(hanging())
    reading = asyncio.ensure_future(harness.events())
    await harness.engines[0].entered.wait()
    assert not harness.is_idle
    reading.cancel()
    await asyncio.wait({reading})
    assert harness.is_idle


async def test_an_engine_that_goes_while_the_prompt_is_encoded_is_unavailable() -> None:
    """Somebody else may serve it: no fault of ours, and nothing stays behind."""
    harness = Harness(answering())

    def goes() -> None:
        harness.backends.now = catalog_of(engine_state(0, tokenizer_fingerprint="other"))

    harness.backends.tokenizer.before = goes
    with pytest.raises(Unavailable) as caught:
        await harness.events()
    assert caught.value.reason == "UPSTREAM_MISMATCH"
    assert harness.is_idle


async def test_the_engine_is_chosen_after_the_prompt_is_encoded() -> None:
    """Others came in meanwhile: the load of that moment counts."""
    harness = Harness(answering(), answering())
    assert harness.backends.catalog().pick(MODEL).index == 0

    def fills() -> None:
        harness.backends.now = catalog_of(engine_state(0, num_requests=3), engine_state(1))

    harness.backends.tokenizer.before = fills
    await harness.events()
    assert [len(engine.requests) for engine in harness.engines] == [0, 1]


async def test_a_gateway_that_drains_refuses_new_requests_and_keeps_the_others() -> None:
    harness = Harness(hanging())
    live = harness.run()
    await anext(live)
    harness.pipeline.drain()
    with pytest.raises(Unavailable) as caught:
        await harness.events(request_id="late")
    assert caught.value.reason == "DRAINING"
    assert harness.engines[0].num_running == 1
    await live.aclose()


@pytest.mark.parametrize(
    ("deadline_s", "timeout_s"),
    [
        (None, MAX_REQUEST_S),
        (110.0, 10.0),
        (100.0 + 2 * MAX_REQUEST_S, MAX_REQUEST_S),
    ],
)
async def test_the_engine_gets_what_is_left_of_the_callers_time(
    deadline_s: float | None, timeout_s: float
) -> None:
    """Never more than any request may take."""
    harness = Harness(answering())
    await harness.events(deadline_s=deadline_s)
    assert harness.engines[0].timeouts == [timeout_s]


@pytest.mark.parametrize("deadline_s", [100.0, 99.0, 0.0])
async def test_a_deadline_that_is_over_is_refused_on_arrival(deadline_s: float) -> None:
    """Nobody encodes or computes for a caller who has left."""
    harness = Harness(answering())
    with pytest.raises(DeadlineExpired):
        await harness.events(deadline_s=deadline_s)
    assert harness.backends.tokenizer.limits == []
    assert harness.engines[0].requests == []
    assert harness.is_idle


async def test_no_engine_is_asked_for_what_encoding_left_no_time_for() -> None:
    harness = Harness(answering())

    def takes_all_time() -> None:
        harness.clock.now += 10.0

    harness.backends.tokenizer.before = takes_all_time
    with pytest.raises(DeadlineExpired):
        await harness.events(deadline_s=110.0)
    assert harness.engines[0].requests == []
    assert harness.is_idle


async def test_time_that_encoding_took_is_told_and_is_gone() -> None:
    harness = Harness(answering())

    def takes_time() -> None:
        harness.clock.now += 2.0

    harness.backends.tokenizer.before = takes_time
    *_, usage = await harness.events(deadline_s=110.0)
    assert isinstance(usage, Usage)
    assert usage.tokenize_ns == 2_000_000_000
    assert harness.engines[0].timeouts == [8.0]
