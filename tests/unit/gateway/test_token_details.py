"""Log-probabilities meet the texts of their tokens, in whatever order both come."""

import pytest

from gateway.output import OutputFold, PromptFacts
from gateway.upstream_values import EngineUpdate, TextUpdate, TokenLogprobs
from gateway.values import Candidate, Event, FinishReason, LogprobsWanted, TextDelta, Token
from steeple_rpc.errors import EngineFault
from tests.support.gateway_fakes import EOS, MODEL, ended, first, generation_request, tokens

PROMPT = PromptFacts(model=MODEL, num_tokens=3, arrival=0.0, tokenize_s=0.5)


def odds(logprob: float, rank: int = 1, *top: tuple[int, float]) -> TokenLogprobs:
    return TokenLogprobs(logprob=logprob, rank=rank, top=top)


def fold() -> OutputFold:
    wanted = LogprobsWanted(num_top=2)
    return OutputFold(generation_request(logprobs=wanted), PROMPT)


def text(text: str, consumed: int, *ids: int, **given: object) -> TextUpdate:
    told = tuple(Token(token_id=i, text=f"<{i}>") for i in ids)
    return TextUpdate(text=text, num_consumed=consumed, tokens=told, **given)  # type: ignore[arg-type] # by name


def told(events: list[Event]) -> tuple[Token, ...]:
    return tuple(t for event in events if isinstance(event, TextDelta) for t in event.tokens)


def test_a_token_leaves_with_its_odds_and_its_candidates() -> None:
    update = tokens(0, 5, logprobs=(odds(-1.0, 2, (9, -0.5), (5, -1.0)),))
    events = fold().events([first(), update, text("a", 1, 5, aside_texts={9: "i", 5: "e"})], 1.0)
    assert told(events) == (
        Token(
            token_id=5,
            text="<5>",
            logprob=-1.0,
            rank=2,
            top=(
                Candidate(token_id=9, text="i", logprob=-0.5),
                Candidate(token_id=5, text="e", logprob=-1.0),
            ),
        ),
    )


def test_candidates_asked_for_by_id_are_told_best_first() -> None:
    update = tokens(0, 5, logprobs=(odds(-1.0, 1, (1, -9.0), (2, -3.0), (3, -9.0)),))
    texts = {1: "a", 2: "b", 3: "c"}
    (token,) = told(fold().events([first(), update, text("a", 1, 5, aside_texts=texts)], 1.0))
    assert [candidate.token_id for candidate in token.top] == [2, 1, 3]


def test_odds_wait_until_the_text_of_their_token_is_complete() -> None:
    """Two tokens of one character: both leave with the delta that has it."""
    running = fold()
    running.events([first()], 1.0)
    assert running.events([tokens(0, 5, logprobs=(odds(-1.0),))], 1.0) == []
    assert running.events([tokens(1, 6, logprobs=(odds(-2.0),))], 1.0) == []
    events = running.events([text("é", 2, 5, 6)], 1.0)
    assert [(token.token_id, token.logprob) for token in told(events)] == [(5, -1.0), (6, -2.0)]


def test_texts_of_candidates_may_come_before_their_token_is_told() -> None:
    """They come with whatever update is next; a stop string may hold the token back longer."""
    running = fold()
    running.events(
        [first(), tokens(0, 5, 6, logprobs=(odds(-1.0, 1, (8, -1.0)), odds(-2.0, 1, (9, -2.0))))],
        1.0,
    )
    running.events([text("a", 1, 5, aside_texts={8: "h", 9: "i"})], 1.0)
    (token,) = told(running.events([text("b", 2, 6)], 1.0))
    assert token.top == (Candidate(token_id=9, text="i", logprob=-2.0),)


def test_what_a_stop_string_discards_is_never_told() -> None:
    running = fold()
    update = tokens(0, 5, 6, 7, logprobs=(odds(-1.0), odds(-2.0), odds(-3.0)))
    events = running.events([first(), update, text("a", 2, 5, 6, matched_stop="STOP")], 1.0)
    assert [token.logprob for token in told(events)] == [-1.0, -2.0]


def test_an_end_token_without_text_has_its_odds() -> None:
    end = ended(
        0,
        5,
        EOS,
        reason=FinishReason.EOS,
        stop_token_id=EOS,
        logprobs=(odds(-1.0), odds(-0.25, 1, (EOS, -0.25))),
    )
    last = text("a", 1, 5, is_final=True, aside_texts={EOS: "</s>"})
    *_, token = told(fold().events([first(), end, last], 1.0))
    assert (token.token_id, token.text, token.logprob) == (EOS, "", -0.25)
    assert token.top == (Candidate(token_id=EOS, text="</s>", logprob=-0.25),)


def test_odds_of_a_lost_engine_stay_with_their_tokens() -> None:
    """Another engine goes on; what the first one told and no text has followed is not lost."""
    running = fold()
    running.events([first(), tokens(0, 5, 6, logprobs=(odds(-1.0), odds(-2.0)))], 1.0)
    running.events([text("a", 1, 5)], 1.0)
    running.events([first(), tokens(2, 7, logprobs=(odds(-3.0),))], 1.0)
    assert [t.logprob for t in told(running.events([text("bc", 3, 6, 7)], 1.0))] == [-2.0, -3.0]


@pytest.mark.parametrize("logprobs", [(), (odds(-1.0),), (odds(-1.0),) * 3])
def test_an_engine_that_tells_not_one_per_token_is_at_fault(
    logprobs: tuple[TokenLogprobs, ...],
) -> None:
    with pytest.raises(EngineFault) as caught:
        fold().events([first(), tokens(0, 5, 6, logprobs=logprobs)], 1.0)
    assert caught.value.reason == "BAD_ENGINE"


def test_texts_that_nothing_waits_for_are_forgotten() -> None:
    """However many candidates an output has had, what is kept stays small."""
    running = fold()
    running.events([first(), tokens(0, 1, logprobs=(odds(-1.0),))], 1.0)
    for at in range(1, 40):
        top = tuple((at * 1000 + i, -1.0) for i in range(200))
        asides = {i: "x" for i, _ in top}
        update = tokens(at, 1, logprobs=(odds(-1.0, 1, *top),))
        running.events([update, text("a", at, 1, aside_texts=asides)], 1.0)
    assert running._details is not None
    assert len(running._details._texts) < 5000
    running.events([text("b", 40, 1, is_final=True)], 1.0)
    assert running._details._texts == {}


def test_nothing_is_told_of_odds_that_nobody_wants() -> None:
    plain = OutputFold(generation_request(token_details=True), PROMPT)
    events = plain.events([first(), tokens(0, 5), text("a", 1, 5)], 1.0)
    assert told(events) == (Token(token_id=5, text="<5>"),)
    assert EngineUpdate().logprobs == ()
