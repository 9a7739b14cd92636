"""What a request names becomes ids that the model has, before an engine is asked."""

from typing import Any

import pytest

from gateway.values import ChatMessage, ChatPrompt, LogprobsWanted, Started, TextPrompt, TokenPrompt
from steeple_rpc.errors import InvalidRequest
from tests.support.gateway_fakes import FakeEngine, ended, first
from tests.support.pipeline_harness import Harness, answering


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
