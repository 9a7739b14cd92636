"""How the engine's and the tokenizer service's reports become events."""

from typing import Any

import pytest

from gateway.output import OutputFold, PromptFacts
from gateway.upstream_values import EngineUpdate, TextUpdate
from gateway.values import Event, Finished, FinishReason, Started, TextDelta, Token, Usage
from tests.support.gateway_fakes import EOS, MODEL, ended, first, generation_request, tokens

PROMPT = PromptFacts(model=MODEL, num_tokens=3, arrival=0.0, tokenize_s=0.5)


def fold(**request: Any) -> OutputFold:
    return OutputFold(generation_request(**request), PROMPT)


def text(text: str, num_consumed: int, **given: Any) -> TextUpdate:
    return TextUpdate(text=text, num_consumed=num_consumed, **given)


def only(events: list[Event], kind: type[Any]) -> Any:
    (event,) = [event for event in events if isinstance(event, kind)]
    return event


def test_the_start_tells_what_is_used() -> None:
    """The engine's sampling and limits, and the stop strings it never sees."""
    started = only(
        fold(stop=("x",), include_stop_in_output=True).events(
            [first(sampling={"seed": 7}, stopping={"max_tokens": 9})], 1.0
        ),
        Started,
    )
    assert (started.request_id, started.model, started.num_prompt_tokens) == ("r", MODEL, 3)
    assert started.sampling == {"seed": 7}
    assert started.stopping == {"max_tokens": 9, "stop": ("x",), "include_stop_in_output": True}


def test_ids_alone_are_no_event() -> None:
    """Callers get text; ids wait until theirs is known."""
    running = fold()
    assert len(running.events([first()], 1.0)) == 1
    assert running.events([tokens(0, 5, 6)], 1.0) == []


def test_what_gathered_is_one_delta() -> None:
    running = fold()
    events = running.events([first(), text("a", 1), tokens(1, 6), text("b", 2)], 1.0)
    assert [type(event) for event in events] == [Started, TextDelta]
    assert events[1] == TextDelta(text="ab", num_completion_tokens=2)


def test_an_update_that_tells_nothing_new_is_no_delta() -> None:
    running = fold()
    running.events([first(), text("a", 1)], 1.0)
    assert running.events([text("", 1)], 1.0) == []


def test_tokens_without_text_still_count() -> None:
    """A token in the middle of a character, or a special one: the count moves on."""
    assert fold().events([text("", 1)], 1.0) == [TextDelta(text="", num_completion_tokens=1)]


def test_an_output_ends_with_its_reason_and_its_usage() -> None:
    running = fold()
    running.events([first(num_cached_prompt_tokens=2, queue_ns=11)], 1.0)
    events = running.events(
        [
            ended(0, 5, 6, prefill_ns=22, decode_ns=33),
            text("ab", 2, is_final=True),
        ],
        2.0,
    )
    assert events == [
        TextDelta(text="ab", num_completion_tokens=2),
        Finished(reason=FinishReason.MAX_TOKENS),
        Usage(
            num_prompt_tokens=3,
            num_completion_tokens=2,
            num_cached_prompt_tokens=2,
            tokenize_ns=500_000_000,
            queue_ns=11,
            prefill_ns=22,
            decode_ns=33,
            total_ns=2_000_000_000,
        ),
    ]


def test_nothing_ends_before_the_last_text_is_out() -> None:
    events = fold().events([first(), ended(0, 5)], 1.0)
    assert [type(event) for event in events] == [Started]


def test_a_withheld_end_token_counts_and_has_no_text() -> None:
    running = fold(token_details=True)
    end = ended(0, 5, EOS, reason=FinishReason.EOS, stop_token_id=EOS)
    last = text("a", 1, tokens=(Token(token_id=5, text="a"),), is_final=True)
    events = running.events([first(), end, last], 1.0)
    delta = only(events, TextDelta)
    assert delta.num_completion_tokens == 2
    assert [(token.token_id, token.text) for token in delta.tokens] == [(5, "a"), (EOS, "")]
    assert only(events, Finished) == Finished(reason=FinishReason.EOS, stop_token_id=EOS)
    assert only(events, Usage).num_completion_tokens == 2


def test_an_end_token_alone_is_a_delta_without_text() -> None:
    end = ended(0, EOS, reason=FinishReason.EOS, stop_token_id=EOS)
    events = fold().events([first(), end, text("", 0, is_final=True)], 1.0)
    assert only(events, TextDelta) == TextDelta(text="", num_completion_tokens=1)
    assert only(events, Usage).num_completion_tokens == 1


def test_an_end_token_in_the_output_is_counted_once() -> None:
    """Where it was asked for it is among the consumed ids."""
    running = fold(include_stop_in_output=True)
    end = ended(0, 5, 9, reason=FinishReason.STOP_TOKEN, stop_token_id=9)
    events = running.events([first(), end, text("ab", 2, is_final=True)], 1.0)
    assert only(events, Usage).num_completion_tokens == 2


def test_a_stop_string_ends_the_output_before_the_engine_does() -> None:
    """The engine is cut off and tells no times; the gateway's own stand in."""
    running = fold()
    running.events([first(queue_ns=11)], 1.0)
    running.events([text("a", 1)], 2.0)
    events = running.events([text("b", 3, matched_stop="STOP")], 5.0)
    assert only(events, Finished) == Finished(reason=FinishReason.STOP_STRING, stop_text="STOP")
    usage = only(events, Usage)
    assert usage.num_completion_tokens == 3
    assert (usage.queue_ns, usage.prefill_ns, usage.decode_ns) == (11, int(1e9), int(3e9))


def test_an_end_token_after_a_stop_string_does_not_count() -> None:
    """It came with the last ids and was discarded with all that follows the match."""
    end = ended(0, 5, 6, EOS, reason=FinishReason.EOS, stop_token_id=EOS)
    last = text("a", 1, matched_stop="STOP", is_final=True)
    events = fold(token_details=True).events([first(), end, last], 1.0)
    assert only(events, Finished).reason is FinishReason.STOP_STRING
    assert only(events, TextDelta).num_completion_tokens == 1
    assert only(events, Usage).num_completion_tokens == 1


@pytest.mark.parametrize(
    "reason",
    [FinishReason.ABORTED, FinishReason.CONTEXT_LENGTH, FinishReason.TIME_LIMIT],
)
def test_any_reason_of_the_engines_is_told(reason: FinishReason) -> None:
    events = fold().events([first(), ended(0, reason=reason), text("", 0, is_final=True)], 1.0)
    assert [type(event) for event in events] == [Started, Finished, Usage]
    assert only(events, Finished).reason is reason


def test_times_are_right_from_the_first_moment_of_a_clock() -> None:
    """A clock that starts at 0 is no clock without a first token."""
    running = fold()
    running.events([first()], 0.0)
    running.events([text("a", 1)], 0.0)
    usage = only(running.events([text("", 1, matched_stop="STOP")], 4.0), Usage)
    assert (usage.prefill_ns, usage.decode_ns) == (0, int(4e9))


def test_usage_survives_an_end_before_the_start() -> None:
    usage = only(fold().events([EngineUpdate(), text("", 0, is_final=True)], 1.0), Usage)
    assert (usage.queue_ns, usage.num_cached_prompt_tokens) == (0, 0)


def test_an_engine_that_takes_over_is_not_a_second_start() -> None:
    """Queueing adds up; what the lost engine computed is counted by our own clock."""
    running = fold()
    running.events([first(queue_ns=10, num_cached_prompt_tokens=2)], 1.0)
    running.events([text("a", 1)], 3.0)
    running.events([text("b", 2)], 7.0)
    again = first(queue_ns=5, num_cached_prompt_tokens=3, sampling={"seed": 8})
    assert running.events([again], 20.0) == []
    end = ended(2, 6, prefill_ns=100, decode_ns=200)
    usage = only(running.events([end, text("c", 3, is_final=True)], 21.0), Usage)
    assert (usage.num_completion_tokens, usage.num_cached_prompt_tokens) == (3, 2)
    assert usage.queue_ns == 15
    assert usage.prefill_ns == 2_000_000_000 + 100
    assert usage.decode_ns == 4_000_000_000 + 200
    assert usage.total_ns == 21_000_000_000
