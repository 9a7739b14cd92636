"""Every way that a tokenizer of each kind writes a word, once."""

import pytest

from gateway.bad_words import MAX_TOKENS, sequences, spellings
from gateway.values import EncodedPrompt
from steeple_rpc.errors import InvalidRequest, ServiceError, Unavailable
from tests.support.tokenizers import loaded_family
from tokenizer_svc.tokenizer import TextBounds

BOUNDS = TextBounds(max_tokens=4096, template_cpu_s=1.0)


def outcomes(family: str, words: list[str]) -> list[EncodedPrompt | ServiceError]:
    """What the service answers."""
    tokenizer = loaded_family(family)
    return [
        EncodedPrompt(
            token_ids=tuple(
                tokenizer.encode(item.text, BOUNDS, add_special_tokens=item.add_special_tokens).ids
            ),
            tail_start=0,
        )
        for item in spellings(words)
    ]


def written(family: str, *words: str) -> list[list[str | None]]:
    """The ways to write the words, token by token."""
    tokens = loaded_family(family).detokenizer.vocabulary.tokens
    ways = sequences(words, outcomes(family, list(words)))
    return [[tokens[i] for i in way] for way in ways]


@pytest.mark.parametrize(
    ("family", "ways"),
    [
        ("byte_level", ["fox", "Ġfox"]),
        ("byte_fallback", ["▁fox", "fox"]),
        ("metaspace", ["▁fox", "fox"]),
        ("wordpiece", ["fox"]),
        ("word_suffix", ["fox</w>"]),
    ],
)
def test_a_word_is_written_as_at_the_start_and_as_inside_of_a_text(
    family: str, ways: list[str]
) -> None:
    """No way is told twice, and none has what is only there because a text begins."""
    assert ["".join(map(str, way)) for way in written(family, "fox")] == ways


def test_what_has_no_token_is_written_in_bytes() -> None:
    """In both places: the mark of a word's start is a token of its own there."""
    snowman = ["<0xE2>", "<0x98>", "<0x83>"]
    assert written("byte_fallback", "☃") == [["▁", *snowman], snowman]


def test_the_ways_of_several_words_keep_their_order() -> None:
    assert written("byte_level", "fox", "dog", "fox") == [
        *written("byte_level", "fox"),
        *written("byte_level", "dog"),
    ]


def test_a_word_in_the_middle_of_a_text_is_found() -> None:
    """The promise: what the tokenizer makes of a text with the word has one of the ways."""
    for family in ("byte_level", "byte_fallback", "metaspace"):
        ways = sequences(["fox"], outcomes(family, ["fox"]))
        for text in ("fox", "the fox", "(fox)", "a\nfox", "a\n fox"):
            ids = loaded_family(family).encode(text, BOUNDS, add_special_tokens=False).ids
            runs = {
                tuple(ids[start : start + len(way)]) for way in ways for start in range(len(ids))
            }
            assert runs & set(ways), (family, text)


def test_the_texts_of_the_most_words_fit_one_call() -> None:
    """The tokenizer service takes 256 at once."""
    assert len(spellings(["x"] * 64)) <= 256


def test_a_word_with_too_many_tokens_is_named() -> None:
    word = "☃" * 64
    with pytest.raises(InvalidRequest) as caught:
        written("byte_level", "fox", word)
    error = caught.value
    assert (error.field, error.reason) == ("sampling.bad_words[1]", "OUT_OF_RANGE")
    assert f"1 to {MAX_TOKENS} tokens; it has" in error.message
    assert word not in error.message


def test_a_word_that_a_tokenizer_drops_is_named() -> None:
    """Blanks are nothing to it: it could never be kept from appearing."""
    with pytest.raises(InvalidRequest) as caught:
        written("wordpiece", " ")
    assert caught.value.field == "sampling.bad_words[0]"


def test_a_service_that_refuses_is_told() -> None:
    gone = Unavailable("gone")
    with pytest.raises(Unavailable) as caught:
        sequences(["fox"], [gone] * 4)
    assert caught.value is gone
