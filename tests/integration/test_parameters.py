"""Every parameter through real processes: what a caller sets is what he sees."""

import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from steeple_client import (
    Client,
    Finished,
    FinishReason,
    Generation,
    LengthPenalty,
    TextDelta,
    Token,
    user,
)
from tests.support.deployment import Deployment

PROMPT = "one two three"
SAMPLED = ("--runner=fake", "--fake-reply=sampled", "--max-num-seqs=8")


@pytest.fixture(scope="module")
def sampled(demo_dir: Path) -> Iterator[Client]:
    """A fake model that is sampled from, as a real one is."""
    with Deployment(demo_dir, engine=SAMPLED) as deployment, Client(deployment.target) as client:
        yield client


def greedy(client: Client, num_tokens: int = 24, **options: object) -> Generation:
    """The likeliest continuation, told token by token; its end is no end."""
    given = {"temperature": 0.0, "ignore_eos": True, "token_details": True, **options}
    return client.generate(PROMPT, max_tokens=num_tokens, **given)  # type: ignore[arg-type] # by name


def ids(reply: Generation) -> list[int]:
    return [token.token_id for token in reply.tokens]


def test_the_answer_is_the_same_without_any_of_them(sampled: Client) -> None:
    """Values that ask for nothing change nothing."""
    plain = greedy(sampled)
    nothing = greedy(
        sampled,
        typical_p=1.0,
        repetition_penalty=1.0,
        presence_penalty=0.0,
        frequency_penalty=0.0,
        logit_bias={},
        bad_words=[],
        min_tokens=0,
    )
    assert ids(nothing) == ids(plain)


def test_a_bias_brings_a_token_and_takes_it_away(sampled: Client) -> None:
    first = ids(greedy(sampled, 1))[0]
    assert set(ids(greedy(sampled, 8, logit_bias={9: 100.0}))) == {9}
    assert first not in ids(greedy(sampled, 8, logit_bias={first: -100.0}))


@pytest.mark.parametrize(
    "penalty",
    [{"repetition_penalty": 10.0}, {"presence_penalty": 2.0}, {"frequency_penalty": 2.0}],
    ids=lambda penalty: next(iter(penalty)),
)
def test_a_penalty_makes_repetition_rarer(sampled: Client, penalty: dict[str, float]) -> None:
    """With a model that would say one thing for ever; all else is equal."""
    favoured = {5: 4.0, 6: 3.0}
    always = ids(greedy(sampled, 24, logit_bias=favoured))
    penalised = ids(greedy(sampled, 24, logit_bias=favoured, **penalty))
    assert penalised != always
    assert len(set(penalised)) > len(set(always))


def test_a_length_penalty_brings_the_end_and_only_after_its_start(sampled: Client) -> None:
    growing = LengthPenalty(start_index=6, decay_factor=10.0)
    reply = sampled.generate(
        PROMPT, max_tokens=200, min_tokens=1, temperature=0.0, length_penalty=growing
    )
    assert reply.finished.reason is FinishReason.EOS
    plain = sampled.generate(PROMPT, max_tokens=200, min_tokens=1, temperature=0.0)
    assert reply.usage.num_completion_tokens <= plain.usage.num_completion_tokens
    assert reply.started.sampling["length_penalty"] == {"start_index": 6, "decay_factor": 10.0}


def test_bad_words_do_not_appear(sampled: Client) -> None:
    """Nor is the token chosen that would say one, with its blank or without."""
    plain = greedy(sampled, 60)
    said = max((t for t in plain.tokens if t.text.strip().isalpha()), key=lambda t: len(t.text))
    word = said.text.strip()
    without = greedy(sampled, 60, bad_words=[word])
    assert said.token_id in ids(plain)
    assert said.token_id not in ids(without)
    assert word not in without.text
    assert without.started.sampling["bad_words"] == (word,)


def test_typical_p_keeps_fewer_tokens(sampled: Client) -> None:
    """So little that one token is left: the same for every seed."""

    def drawn(seed: int, typical_p: float) -> list[int]:
        reply = sampled.generate(
            *(PROMPT,),
            max_tokens=6,
            temperature=1.0,
            seed=seed,
            ignore_eos=True,
            token_details=True,
            typical_p=typical_p,
        )
        return ids(reply)

    assert drawn(1, 1e-6) == drawn(2, 1e-6)
    assert drawn(1, 1.0) != drawn(2, 1.0)


def joined(tokens: tuple[Token, ...]) -> str:
    return "".join(token.text for token in tokens)


@pytest.mark.parametrize("num_top", [0, 1, 20])
def test_log_probabilities_are_told_with_their_tokens(sampled: Client, num_top: int) -> None:
    """Of greedy tokens: the best of their candidates, which are told best first with texts."""
    reply = greedy(sampled, 12, logprobs=num_top)
    assert len(reply.tokens) == 12
    for token in reply.tokens:
        assert token.logprob is not None
        assert (token.rank, token.logprob < 0) == (1, True)
        assert len(token.top) == num_top
        assert all(a.logprob >= b.logprob for a, b in pairwise(token.top))
        if num_top:
            best = token.top[0]
            assert (best.token_id, best.logprob) == (token.token_id, token.logprob)
            assert best.text == token.text
            assert sum(math.exp(candidate.logprob) for candidate in token.top) <= 1 + 1e-5


def test_log_probabilities_of_given_tokens_are_told_best_first(sampled: Client) -> None:
    wanted = [9, 5, 7]
    reply = greedy(sampled, 4, logprob_token_ids=wanted)
    for token in reply.tokens:
        assert {candidate.token_id for candidate in token.top} == set(wanted)
        assert all(a.logprob >= b.logprob for a, b in pairwise(token.top))
        assert all(candidate.text for candidate in token.top)


def test_a_stream_tells_of_each_token_once_and_with_its_text(sampled: Client) -> None:
    """Details leave with the text that they complete, and joined they are those of the reply."""
    whole = greedy(sampled, 40, logprobs=2)
    events = list(
        sampled.generate_stream(PROMPT, max_tokens=40, temperature=0.0, ignore_eos=True, logprobs=2)
    )
    deltas = [event for event in events if isinstance(event, TextDelta)]
    assert tuple(token for delta in deltas for token in delta.tokens) == whole.tokens
    counts = [delta.num_completion_tokens for delta in deltas]
    totals = [sum(len(d.tokens) for d in deltas[: place + 1]) for place, _ in enumerate(deltas)]
    assert totals == counts


def test_what_a_stop_string_discards_has_no_log_probability(sampled: Client) -> None:
    whole = greedy(sampled, 60)
    stop = next(token.text for token in whole.tokens[20:] if len(token.text.strip()) > 1)
    reply = greedy(sampled, 60, stop=[stop], logprobs=1)
    assert reply.finished.reason is FinishReason.STOP_STRING
    assert len(reply.tokens) == reply.usage.num_completion_tokens < 60
    assert ids(reply) == ids(whole)[: len(reply.tokens)]


def test_a_chat_tells_log_probabilities_too(sampled: Client) -> None:
    reply = sampled.chat([user("hi")], max_tokens=3, ignore_eos=True, logprobs=1)
    assert [len(token.top) for token in reply.tokens] == [1, 1, 1]


def test_a_time_limit_ends_the_output_as_it_is(client: Client) -> None:
    """No error: the text so far is the answer. 900 tokens would take 4.5 s."""
    events = list(client.generate_stream("hello world", max_tokens=900, time_limit_ms=2500))
    finished = next(event for event in events if isinstance(event, Finished))
    assert finished.reason is FinishReason.TIME_LIMIT
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert text.startswith("hello world")


def test_special_tokens_are_shown_where_they_are_wanted(client: Client) -> None:
    """The fake engine echoes: the end token of the prompt comes back as a token of the text."""
    reply = client.generate([0], max_tokens=2, ignore_eos=True, skip_special_tokens=False)
    assert reply.text
    assert client.generate([0], max_tokens=2, ignore_eos=True).text == ""


def test_a_salt_and_a_priority_change_no_answer(sampled: Client) -> None:
    assert ids(greedy(sampled, cache_salt="s", priority=-5)) == ids(greedy(sampled))


def test_all_that_is_used_is_told(sampled: Client) -> None:
    reply = greedy(sampled, 2, repetition_penalty=1.5, logit_bias={5: -1.5}, time_limit_ms=60_000)
    told = reply.started.sampling
    assert (told["repetition_penalty"], told["logit_bias"]) == (1.5, {5: -1.5})
    assert (told["typical_p"], told["presence_penalty"]) == (1.0, 0.0)
    assert reply.started.stopping["time_limit_ms"] == 60_000
