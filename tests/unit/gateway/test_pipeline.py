"""One request's way through the gateway; everything behind it is scripted."""

import asyncio
from collections.abc import MutableMapping
from contextlib import aclosing
from typing import Any

import pytest
import structlog

from gateway.admission import Admission
from gateway.pipeline import Pipeline
from gateway.request_limits import RequestLimits
from gateway.takeover import TakeoverLimits
from gateway.values import (
    ChatMessage,
    ChatPrompt,
    Event,
    Finished,
    FinishReason,
    LogprobsWanted,
    Started,
    TextDelta,
    TextPrompt,
    TokenPrompt,
    Usage,
)
from steeple_rpc.errors import (
    AlreadyExists,
    DeadlineExpired,
    InvalidRequest,
    NotFound,
    Overloaded,
    Unavailable,
)
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

MAX_REQUEST_S = 60.0


class Clock:
    """Stands still until it is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Harness:
    """A pipeline over one scripted engine."""

    def __init__(self, *engines: FakeEngine) -> None:
        states = [engine_state(index) for index, _ in enumerate(engines)]
        self.engines = engines
        self.backends = FakeBackends(catalog_of(*states), [FakeUpstream(e) for e in engines])
        self.admission = Admission()
        self.clock = Clock()
        self.pipeline = Pipeline(
            self.backends,  # type: ignore[arg-type] # a fake
            self.admission,
            self.clock,
            RequestLimits(
                max_request_s=MAX_REQUEST_S,
                # What is lost is told: taking over has tests of its own.
                takeover=TakeoverLimits(max_takeovers=0),
            ),
        )

    def run(self, *, deadline_s: float | None = None, **request: Any) -> Any:
        return self.pipeline.run(generation_request(**request), deadline_s)

    async def events(self, **given: Any) -> list[Event]:
        async with aclosing(self.run(**given)) as events:
            return [event async for event in events]

    @property
    def is_idle(self) -> bool:
        """Whether nothing of any request is left."""
        return (
            self.admission.num_live(MODEL) == 0
            and all(upstream.num_here == 0 for upstream in self.backends.engines)
            and all(engine.num_running == 0 for engine in self.engines)
            and all(session.is_closed for session in self.backends.detokenizer.sessions)
        )


def answering() -> FakeEngine:
    return FakeEngine([first(), tokens(0, 5), ended(1, 6)])


def hanging() -> FakeEngine:
    return FakeEngine([first(), tokens(0, 5)], hangs=True)


async def test_a_request_becomes_its_events() -> None:
    harness = Harness(answering())
    events = await harness.events(prompt=TextPrompt("abc"))
    assert [type(event) for event in events] == [Started, TextDelta, Finished, Usage]
    assert events[0].num_prompt_tokens == 3  # type: ignore[union-attr] # see above
    assert events[1] == TextDelta(text="<5><6>", num_completion_tokens=2)
    assert events[2] == Finished(reason=FinishReason.MAX_TOKENS)
    assert harness.engines[0].requests[0].prompt_token_ids == tuple(map(ord, "abc"))
    assert harness.is_idle


async def test_a_conversation_becomes_ids_too() -> None:
    harness = Harness(answering())
    await harness.events(prompt=ChatPrompt(messages=(ChatMessage(role="user", parts=("a", "b")),)))
    assert harness.engines[0].requests[0].prompt_token_ids == tuple(map(ord, "ab"))


async def test_a_callers_ids_are_used_as_they_are() -> None:
    harness = Harness(answering())
    await harness.events(prompt=TokenPrompt((1, 2, 3)))
    assert harness.engines[0].requests[0].prompt_token_ids == (1, 2, 3)
    assert harness.backends.tokenizer.limits == []


async def test_an_id_beyond_the_vocabulary_is_refused_before_the_engine() -> None:
    harness = Harness(answering())
    with pytest.raises(InvalidRequest) as caught:
        await harness.events(prompt=TokenPrompt((1, 1000)))
    assert caught.value.field == "token_ids.ids[1]"
    assert harness.engines[0].requests == []
    assert harness.is_idle


async def test_the_length_of_a_callers_ids_is_looked_at_before_the_ids() -> None:
    """A million of them would be read for nothing."""
    harness = Harness(answering())
    with pytest.raises(InvalidRequest) as caught:
        await harness.events(prompt=TokenPrompt((1000,) * 200))
    assert caught.value.reason == "PROMPT_TOO_LONG"


async def test_of_a_prompt_that_is_cut_only_the_kept_ids_must_be_the_models() -> None:
    harness = Harness(answering())
    await harness.events(prompt=TokenPrompt((1000, 1, 2)), truncate_prompt_tokens=2)
    assert harness.engines[0].requests[0].prompt_token_ids == (1, 2)
    with pytest.raises(InvalidRequest) as caught:
        await harness.events(prompt=TokenPrompt((1, 2, 1000)), truncate_prompt_tokens=2)
    assert caught.value.field == "token_ids.ids[-2:][1]"


@pytest.mark.parametrize(
    ("prompt", "keep", "left"),
    [
        (TextPrompt("abcdef"), 2, "ef"),
        (TextPrompt("ab"), 9, "ab"),
        (TextPrompt("x" * 200), 99, "x" * 99),
        (TokenPrompt((97, 98, 99)), 1, "c"),
    ],
)
async def test_only_the_tail_of_a_prompt_is_kept_on_request(
    prompt: TextPrompt | TokenPrompt, keep: int, left: str
) -> None:
    """Also of one that would not fit: the tokenizer service is told no limit then."""
    harness = Harness(answering())
    await harness.events(prompt=prompt, truncate_prompt_tokens=keep)
    assert harness.engines[0].requests[0].prompt_token_ids == tuple(map(ord, left))
    assert harness.backends.tokenizer.limits in ([None], [])
    (session,) = harness.backends.detokenizer.sessions
    tail = "".join(map(chr, session.options.prompt_tail_ids))
    assert tail
    assert left.endswith(tail)


async def test_a_prompt_that_does_not_fit_is_refused_before_the_engine() -> None:
    harness = Harness(answering())
    with pytest.raises(InvalidRequest) as caught:
        await harness.events(prompt=TextPrompt("x" * 100))
    assert caught.value.reason == "PROMPT_TOO_LONG"
    assert harness.backends.tokenizer.limits == [100]
    assert harness.engines[0].requests == []
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


def finished_line(logs: list[MutableMapping[str, Any]]) -> MutableMapping[str, Any]:
    """The one line that a request leaves."""
    (line,) = [line for line in logs if line["event"] == "request_finished"]
    return line


async def test_a_request_leaves_one_line_that_tells_what_came_of_it() -> None:
    """Ids, counts and times; neither the prompt nor the answer."""
    harness = Harness(answering())
    with structlog.testing.capture_logs() as logs:
        await harness.events(prompt=TextPrompt("secret"), request_id="r1")
    line = finished_line(logs)
    assert line["log_level"] == "info"
    assert (line["public_request_id"], line["model"]) == ("r1", MODEL)
    assert line["engine_request_id"] == harness.engines[0].requests[0].request_id
    assert (line["num_prompt_tokens"], line["num_completion_tokens"]) == (6, 2)
    assert line["finish_reason"] == "MAX_TOKENS"
    assert "error" not in line
    assert {"tokenize_ms", "queue_ms", "prefill_ms", "decode_ms", "total_ms"} <= line.keys()
    assert not any(text in str(line) for text in ("secret", "<5>"))


async def test_a_refused_request_leaves_its_reason() -> None:
    harness = Harness(answering())
    with structlog.testing.capture_logs() as logs, pytest.raises(NotFound):
        await harness.events(model="gpt")
    assert finished_line(logs)["error"] == "MODEL_NOT_FOUND"


async def test_a_request_that_was_left_is_told_as_cancelled() -> None:
    harness = Harness(hanging())
    with structlog.testing.capture_logs() as logs:
        events = harness.run()
        await anext(events)
        await events.aclose()
    line = finished_line(logs)
    assert (line["error"], line["num_prompt_tokens"]) == ("CANCELLED", 3)
    assert "finish_reason" not in line


async def test_a_fault_of_ours_is_told_as_one() -> None:
    harness = Harness(FakeEngine([first()], error=ZeroDivisionError()))
    with structlog.testing.capture_logs() as logs, pytest.raises(ZeroDivisionError):
        await harness.events()
    assert finished_line(logs)["error"] == "INTERNAL"


async def test_bad_words_reach_the_engine_as_ids_and_the_caller_as_words() -> None:
    """One call encodes all of them; without words there is none."""
    engine = FakeEngine([first(), ended(0, 5)])
    harness = Harness(engine)
    events = await harness.events(bad_words=("ab",))
    assert harness.engines[0].requests[0].bad_word_ids == ((97, 98), (32, 97, 98))
    assert [len(batch) for batch in harness.backends.tokenizer.batches] == [4]
    started = next(event for event in events if isinstance(event, Started))
    assert started.sampling["bad_words"] == ("ab",)
    await harness.events()
    assert harness.engines[0].requests[1].bad_word_ids == ()
    assert len(harness.backends.tokenizer.batches) == 1


@pytest.mark.parametrize(
    ("request_fields", "field"),
    [
        ({"stopping": {"stop_token_ids": (1, 1000)}}, "stopping.stop_token_ids[1]"),
        ({"sampling": {"seed": 1, "logit_bias": {1000: 1.0}}}, "sampling.logit_bias"),
        ({"logprobs": LogprobsWanted(token_ids=(1000,))}, "output.logprob_token_ids[0]"),
    ],
)
async def test_tokens_that_the_model_does_not_have_are_refused_by_name(
    request_fields: dict[str, Any], field: str
) -> None:
    """Before the engine is asked; it checks again."""
    harness = Harness(FakeEngine([first(), ended(0, 5)]))
    with pytest.raises(InvalidRequest) as caught:
        await harness.events(**request_fields)
    assert (caught.value.field, caught.value.reason) == (field, "TOKEN_OUT_OF_RANGE")
    assert harness.engines[0].requests == []
