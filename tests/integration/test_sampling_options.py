"""What a caller asks of sampling, through all services, over a fake that is sampled from."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from steeple_client import Client, Finished, FinishReason, LengthPenalty, Started, Usage
from tests.support.deployment import Deployment

SAMPLED = ("--runner=fake", "--fake-reply=sampled", "--max-num-seqs=4")
NUM_SEATS = 8
"""Of the deployment that echoes."""
PROMPT = "What is 12+30?"


@pytest.fixture(scope="module")
def sampled(demo_dir: Path) -> Iterator[Client]:
    with Deployment(demo_dir, engine=SAMPLED) as deployment, Client(deployment.target) as connected:
        yield connected


def test_a_seed_repeats_its_answer_with_every_option_on(sampled: Client) -> None:
    """And another seed does not."""

    def answer(seed: int) -> str:
        return sampled.generate(
            PROMPT,
            max_tokens=40,
            seed=seed,
            temperature=1.2,
            typical_p=0.9,
            top_p=0.95,
            repetition_penalty=1.3,
            presence_penalty=0.5,
            frequency_penalty=0.5,
            ignore_eos=True,
        ).text

    assert answer(1) == answer(1)
    assert answer(1) != answer(2)


def test_logprobs_tell_the_choice_and_its_rivals(sampled: Client) -> None:
    """Greedy: every token is the likeliest, and leads those told."""
    reply = sampled.generate(
        PROMPT, max_tokens=12, temperature=0, logprobs=3, token_details=True, ignore_eos=True
    )
    assert len(reply.tokens) == 12
    for token in reply.tokens:
        assert (token.rank, len(token.top)) == (1, 3)
        assert (token.top[0].token_id, token.top[0].logprob) == (token.token_id, token.logprob)
        odds = [candidate.logprob for candidate in token.top]
        assert odds == sorted(odds, reverse=True)


def test_bias_and_penalties_reach_the_choice(sampled: Client) -> None:
    """A token that is pushed up comes every time, unless its own frequency pushes it down."""
    greedy = sampled.generate(PROMPT, max_tokens=8, temperature=0, token_details=True)
    pushed = greedy.tokens[0].token_id
    always = sampled.generate(
        PROMPT, max_tokens=20, temperature=0, logit_bias={pushed: 20.0}, token_details=True
    )
    assert {token.token_id for token in always.tokens} == {pushed}
    tired = sampled.generate(
        PROMPT,
        max_tokens=20,
        temperature=0,
        logit_bias={pushed: 20.0},
        frequency_penalty=2.0,
        token_details=True,
        ignore_eos=True,
    )
    assert [token.token_id for token in tired.tokens[:5]] == [pushed] * 5
    assert {token.token_id for token in tired.tokens} > {pushed}


def test_a_bad_word_does_not_appear(sampled: Client) -> None:
    """A word of the free answer is gone from the answer that may not contain it."""
    free = sampled.generate(PROMPT, max_tokens=60, temperature=0, token_details=True)
    word = max((token.text for token in free.tokens), key=lambda text: len(text.strip())).strip()
    assert len(word) > 1
    bound = sampled.generate(PROMPT, max_tokens=60, temperature=0, bad_words=[word])
    assert word in free.text
    assert word not in bound.text


def test_a_length_penalty_brings_the_end(sampled: Client) -> None:
    """Without it the same answer goes on."""
    eager = LengthPenalty(start_index=5, decay_factor=3.0)
    free = sampled.generate(PROMPT, max_tokens=60, temperature=0)
    short = sampled.generate(PROMPT, max_tokens=60, temperature=0, length_penalty=eager)
    assert short.finished.reason is FinishReason.EOS
    assert 5 < short.usage.num_completion_tokens < 20 < free.usage.num_completion_tokens


def test_a_time_limit_gives_what_there_is(client: Client) -> None:
    """No error: a part of the 4.5 s that would have come, and the reason."""
    reply = client.generate("hello world", max_tokens=900, time_limit_ms=2500)
    assert reply.finished.reason is FinishReason.TIME_LIMIT
    assert 0 < reply.usage.num_completion_tokens < 900
    assert "hello world".startswith(reply.text[:11])


def test_a_time_limit_counts_in_the_queue_too(slow_client: Client) -> None:
    """All seats are taken: an empty answer, started and ended in order."""
    with contextlib.ExitStack() as stack:
        for _ in range(NUM_SEATS):
            seat = iter(slow_client.generate_stream("hello world", max_tokens=900))
            stack.callback(seat.close)  # type: ignore[attr-defined] # a generator
            next(seat)
        limited = slow_client.generate_stream("hello world", max_tokens=9, time_limit_ms=100)
        events = list(limited)
    kinds = [type(event) for event in events]
    assert kinds == [Started, Finished, Usage]
    assert events[1] == Finished(reason=FinishReason.TIME_LIMIT)
