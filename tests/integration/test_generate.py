"""Client → gateway → tokenizer and engine services, as real processes: what a caller gets."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from steeple_client import Client, Finished, FinishReason, Started, TextDelta, Usage, user
from steeple_rpc.errors import DeadlineExpired
from tests.support.deployment import Deployment


def test_a_stream_is_started_deltas_finished_usage(client: Client) -> None:
    """Exactly one of each but the deltas, in this order; counts agree."""
    events = list(client.generate_stream("hello world", max_tokens=12))
    kinds = [type(event) for event in events]
    deltas = [event for event in events if isinstance(event, TextDelta)]
    assert kinds[0] is Started
    assert kinds[-2:] == [Finished, Usage]
    assert kinds.count(TextDelta) == len(kinds) - 3 > 0
    usage = events[-1]
    assert isinstance(usage, Usage)
    assert usage.num_completion_tokens == deltas[-1].num_completion_tokens == 12


def test_the_unary_reply_is_the_joined_stream(client: Client) -> None:
    """Same text, same counts, same end."""
    stream = list(client.generate_stream("hello world", max_tokens=12))
    whole = client.generate("hello world", max_tokens=12)
    assert whole.text == "".join(e.text for e in stream if isinstance(e, TextDelta))
    assert whole.finished == next(e for e in stream if isinstance(e, Finished))
    assert whole.usage.num_prompt_tokens > 0


def test_characters_that_span_tokens_arrive_whole(client: Client) -> None:
    """The echo of emoji and CJK text is that text; no delta has a broken character."""
    text = "héllo 👩‍👩‍👧 你好 🇩🇪"
    whole = client.generate(text, max_tokens=200)
    deltas = [
        e.text for e in client.generate_stream(text, max_tokens=200) if isinstance(e, TextDelta)
    ]
    assert "".join(deltas) == whole.text
    assert whole.text.startswith(text)
    assert not any("�" in delta for delta in deltas[:-1])


def test_a_stop_string_ends_the_answer_and_the_engines_work(
    client: Client, fake: Deployment
) -> None:
    """The text stops before it, what came later is not counted, the reason names it."""
    reply = client.generate("one two three four", max_tokens=400, stop=["three"])
    assert reply.text == "one two "
    assert (reply.finished.reason, reply.finished.stop) == (FinishReason.STOP_STRING, "three")
    assert reply.usage.num_completion_tokens < 40


def test_a_stop_string_can_be_kept(client: Client) -> None:
    """include_stop_in_output leaves it at the end."""
    reply = client.generate(
        "one two three four", max_tokens=400, stop=["three"], include_stop_in_output=True
    )
    assert reply.text == "one two three"


def test_a_stop_token_counts_and_shows_no_text(client: Client) -> None:
    """The reason names its id."""
    probe = client.generate("abc", max_tokens=3, token_details=True)
    stop = probe.tokens[-1].token_id
    reply = client.generate("abc", max_tokens=50, stop_token_ids=[stop])
    assert (reply.finished.reason, reply.finished.stop) == (FinishReason.STOP_TOKEN, stop)
    assert len(reply.text) < len(probe.text)


def test_token_ids_are_used_exactly_as_they_are(client: Client) -> None:
    """The echo of ids is their own text, token by token."""
    ids = [
        token.token_id for token in client.generate("a b", max_tokens=3, token_details=True).tokens
    ]
    echoed = client.generate(ids, max_tokens=3, token_details=True)
    assert [token.token_id for token in echoed.tokens] == ids
    assert echoed.usage.num_prompt_tokens == 3


def test_truncation_keeps_the_tail_of_the_prompt(client: Client) -> None:
    """Only the last tokens are read."""
    reply = client.generate("one two three four", max_tokens=8, truncate_prompt_tokens=2)
    assert reply.usage.num_prompt_tokens == 2
    assert "one" not in reply.text


def test_what_was_used_is_told(client: Client) -> None:
    """The model's default sampling, the limit for an unset max_tokens, a seed if one was drawn."""
    greedy = client.generate("a", max_tokens=2)
    assert greedy.started.sampling["temperature"] == 0
    assert greedy.started.max_tokens == 2
    random = client.generate("a", max_tokens=2, temperature=0.5)
    assert "seed" in random.started.sampling
    assert client.generate("a", max_tokens=2, temperature=0.5, seed=7).started.sampling["seed"] == 7


def test_a_deadline_ends_the_call(client: Client) -> None:
    """The status is DEADLINE_EXCEEDED."""
    with pytest.raises(DeadlineExpired):
        client.generate("hello world", max_tokens=900, timeout_s=0.3)


def test_many_streams_at_once_get_their_own_answers(client: Client) -> None:
    """More requests than seats: each one's text is the echo of its own prompt."""
    prompts = [f"request number {index} says {index * 7}" for index in range(24)]
    with ThreadPoolExecutor(24) as pool:
        texts = list(pool.map(lambda p: client.generate(p, max_tokens=30).text, prompts))
    for prompt, text in zip(prompts, texts, strict=True):
        assert text.startswith(prompt[: len(text)])


def test_the_demo_model_answers(real: Deployment) -> None:
    """A real 4, streamed; greedy ends with the model's own end token."""
    with Client(real.target) as client:
        events = list(client.chat_stream([user("What is 2+2?")]))
        text = "".join(e.text for e in events if isinstance(e, TextDelta))
        assert text == "4"
        finished = next(e for e in events if isinstance(e, Finished))
        assert finished.reason is FinishReason.EOS


def test_answers_of_the_demo_model_do_not_depend_on_neighbours(real: Deployment) -> None:
    """Greedy and seeded: the same alone and among others."""
    questions = [f"What is {a}+{b}?" for a, b in ((1, 2), (17, 25), (40, 2), (99, 99), (8, 80))]
    with Client(real.target) as client, ThreadPoolExecutor(10) as pool:

        def ask(question: str, temperature: float) -> str:
            return client.chat([user(question)], temperature=temperature, seed=5).text

        for temperature in (0.0, 1.5):
            alone = [ask(question, temperature) for question in questions]
            together = list(pool.map(lambda q: ask(q, temperature), questions * 4))  # noqa: B023
            assert together == alone * 4


def test_a_model_tells_its_room(real: Deployment) -> None:
    """KV tokens, concurrency, context: what `steeple serve` prints."""
    with Client(real.target) as client:
        (model,) = client.models()
        assert model == client.model() == client.model("demo")
        assert model.kv_tokens >= model.max_model_len
        assert model.max_concurrency >= 1
