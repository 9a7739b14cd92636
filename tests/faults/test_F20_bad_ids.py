"""F-20: ids that are no tokens, prompts that are none: refused by the gateway and by the engine."""

from typing import Any

import pytest

from steeple_client import Client
from steeple_rpc.errors import InvalidRequest
from tests.support.cluster import Cluster
from tests.support.refusals import Ask

MINUS_ONE = (1 << 32) - 1
"""What -1 is on the wire of an unsigned field."""
TOO_LARGE = [1 << 31, MINUS_ONE]


@pytest.fixture(scope="module")
def vocab_size(calm: Cluster) -> int:
    with Client(calm.target) as client:
        return client.model().vocab_size


@pytest.fixture(scope="module")
def max_model_len(calm: Cluster) -> int:
    with Client(calm.target) as client:
        return client.model().max_model_len


def fields_with(token_id: int) -> list[tuple[str, dict[str, Any]]]:
    """Every parameter that names tokens, with this one second; its path in both contracts."""
    return [
        ("stopping.stop_token_ids[1]", {"stopping": {"stop_token_ids": [1, token_id]}}),
        ("output.logprob_token_ids[1]", {"output": {"logprob_token_ids": [1, token_id]}}),
        ("sampling.logit_bias", {"sampling": {"seed": 1, "logit_bias": {1: 1.0, token_id: 1.0}}}),
    ]


@pytest.mark.parametrize("token_id", [None, *TOO_LARGE])
def test_a_prompt_of_ids_beyond_the_vocabulary_is_refused(
    gateway: Ask, engine: Ask, vocab_size: int, token_id: int | None
) -> None:
    """The first id that is too large is named by its place, with the limit."""
    wrong = vocab_size if token_id is None else token_id
    ids = [1, 2, wrong]
    for error, field in (
        (gateway(token_ids={"ids": ids}), "token_ids.ids[2]"),
        (engine(prompt_token_ids=ids), "prompt_token_ids[2]"),
        (engine(prior_output_token_ids=ids), "prior_output_token_ids[2]"),
        (engine(bad_word_ids=[{"ids": ids}]), "bad_word_ids[0].ids[2]"),
    ):
        assert isinstance(error, InvalidRequest)
        assert (error.field, error.reason) == (field, "TOKEN_OUT_OF_RANGE")
        assert str(vocab_size) in error.message
        assert str(wrong) in error.message


@pytest.mark.parametrize("token_id", [None, *TOO_LARGE])
def test_parameters_that_name_no_token_are_refused_by_both(
    gateway: Ask, engine: Ask, vocab_size: int, token_id: int | None
) -> None:
    for field, given in fields_with(vocab_size if token_id is None else token_id):
        for error in (gateway(**given), engine(**given)):
            assert isinstance(error, InvalidRequest)
            assert (error.field, error.reason) == (field, "TOKEN_OUT_OF_RANGE")
            assert str(vocab_size) in error.message


def test_a_prompt_of_no_ids_is_refused_by_both(gateway: Ask, engine: Ask) -> None:
    assert gateway(token_ids={"ids": []}).reason == "EMPTY_PROMPT"
    assert gateway(text="").reason == "EMPTY_PROMPT"
    assert engine(prompt_token_ids=[]).reason == "EMPTY_PROMPT"


def test_a_prompt_longer_than_the_context_is_refused_by_both(
    gateway: Ask, engine: Ask, max_model_len: int
) -> None:
    ids = [5] * max_model_len
    for error in (gateway(token_ids={"ids": ids}), engine(prompt_token_ids=ids)):
        assert isinstance(error, InvalidRequest)
        assert error.reason == "PROMPT_TOO_LONG"
        assert str(max_model_len) in error.message


def test_the_last_token_and_the_longest_prompt_are_served(
    calm: Cluster, vocab_size: int, max_model_len: int
) -> None:
    """The bounds are where they are said to be."""
    with Client(calm.target) as client:
        reply = client.generate([vocab_size - 1] * (max_model_len - 1), max_tokens=1)
        assert reply.usage.num_prompt_tokens == max_model_len - 1


def test_special_ids_and_odd_texts_are_prompts_like_any_other(calm: Cluster) -> None:
    """A caller's ids are used exactly as they are; NUL is a character."""
    with Client(calm.target) as client:
        assert client.generate([0, 1, 2], max_tokens=2).usage.num_prompt_tokens == 3
        assert client.generate("a\x00b", max_tokens=2).usage.num_completion_tokens > 0
