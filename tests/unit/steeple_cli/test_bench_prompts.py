"""Prompts have exactly the lengths drawn, share what they shall, and fit the context."""

from itertools import islice
from pathlib import Path

import pytest

from steeple_cli.benching.prompt_file import read_prompts
from steeple_cli.benching.prompts import DrawnPrompts, GivenPrompts
from steeple_cli.benching.requests import requests_of
from steeple_cli.planning.lengths import Fixed, Lengths, Uniform
from steeple_client import Message
from steeple_rpc.refused import SettingRefused


def drawn(
    prompt_lens: Lengths | None = None,
    output_lens: Lengths | None = None,
    *,
    max_model_len: int = 1000,
    num_shared: int = 0,
    seed: int = 0,
) -> DrawnPrompts:
    return DrawnPrompts(
        prompt_lens=prompt_lens or Fixed(20),
        output_lens=output_lens or Fixed(5),
        max_model_len=max_model_len,
        vocab_size=50,
        num_shared=num_shared,
        seed=seed,
    )


def ids_of(prompts: DrawnPrompts, number: int) -> list[tuple[int, ...]]:
    """The ids of so many prompts; fails on what is no id."""
    taken = [prompts.take().prompt for _ in range(number)]
    assert all(isinstance(token, int) for prompt in taken for token in prompt)
    return [tuple(int(str(token)) for token in prompt) for prompt in taken]


def test_prompts_have_the_length_drawn_and_ids_of_the_vocabulary() -> None:
    ids = ids_of(drawn(), 100)
    assert {len(each) for each in ids} == {20}
    assert {token for each in ids for token in each} == set(range(50))
    assert len(set(ids)) == 100


def test_the_same_seed_asks_the_same() -> None:
    assert ids_of(drawn(), 5) == ids_of(drawn(), 5) != ids_of(drawn(seed=1), 5)


def test_other_output_lengths_do_not_change_what_is_asked() -> None:
    assert ids_of(drawn(), 5) == ids_of(drawn(output_lens=Uniform(1, 9)), 5)


def test_a_shared_prefix_is_the_same_in_all_and_the_rest_is_not() -> None:
    first, second, *_ = ids_of(drawn(num_shared=12), 3)
    assert first[:12] == second[:12]
    assert first[12:] != second[12:]
    assert (len(first), len(second)) == (20, 20)


def test_a_prompt_that_is_shorter_than_the_shared_prefix_is_a_part_of_it() -> None:
    prompts = drawn(Uniform(1, 20), num_shared=10)
    by_length = sorted(ids_of(prompts, 50), key=len)
    assert by_length[-1][: len(by_length[0])] == by_length[0]
    assert {len(each) for each in by_length} <= set(range(1, 21))


def test_pairs_that_do_not_fit_the_context_are_drawn_again() -> None:
    prompts = drawn(Uniform(1, 100), Uniform(1, 100), max_model_len=60)
    pairs = [prompts.take() for _ in range(100)]
    assert all(len(asked.prompt) + asked.max_tokens <= 60 for asked in pairs)


def test_lengths_that_never_fit_are_refused_with_the_context() -> None:
    with pytest.raises(SettingRefused, match=r"context has 24 tokens.*--prompt-lens"):
        drawn(max_model_len=24).take()
    assert drawn(max_model_len=25).take().max_tokens == 5


def test_requests_find_nothing_in_the_cache_unless_they_may() -> None:
    """Each with a salt of its own, or all with that of their load; options are everybody's."""
    apart = [r.options for r in islice(requests_of(drawn(), {}, salt="s", is_cache_used=False), 3)]
    assert len({options["cache_salt"] for options in apart}) == 3
    shared = requests_of(drawn(), {"temperature": 0.5}, salt="s", is_cache_used=True)
    for request in islice(shared, 3):
        assert request.options == {"cache_salt": "s", "max_tokens": 5, "temperature": 0.5}


def test_a_file_gives_texts_and_chats_again_and_again(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text(
        '{"text": "one", "max_tokens": 7}\n\n{"messages": [{"role": "user", "content": "two"}]}\n'
    )
    prompts = GivenPrompts(read_prompts(file), Fixed(5), seed=0)
    taken = [(asked.prompt, asked.max_tokens) for asked in (prompts.take() for _ in range(3))]
    assert taken == [("one", 7), ((Message("user", "two"),), 5), ("one", 7)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no prompt"),
        ('{"text": "secret", "x": 1}', "line 1: x: "),
        ('{"text": "a"}\n{}', "line 2: a line has either text or messages"),
        ('{"text": "a", "messages": [{"role": "user", "content": "b"}]}', "either text or"),
        ('{"messages": []}', "line 1: messages: "),
        ('{"messages": [{"role": "tool", "content": "secret"}]}', "messages.0.role: "),
        ('{"text": "secret", "max_tokens": 0}', "max_tokens: .*greater than or equal to 1"),
        ("secret", "line 1: Invalid JSON"),
    ],
)
def test_a_file_that_is_none_is_refused_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    """And without its prompts: an error goes to logs."""
    file = tmp_path / "p.jsonl"
    file.write_text(text)
    with pytest.raises(SettingRefused, match=told) as refused:
        read_prompts(file)
    assert "secret" not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingRefused, match=r"--prompts .*none.jsonl cannot be read: No such"):
        read_prompts(tmp_path / "none.jsonl")
