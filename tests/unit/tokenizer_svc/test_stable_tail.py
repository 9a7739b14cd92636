"""Where the stable tail of a prompt starts, family by family."""

import pytest

from tests.support.tokenizers import loaded_family

CASES = {
    "ends with text": ("byte_level", ["a", "b"], 1),
    "ends inside a character": ("byte_level", ["a", "ð", "Ł", "¦"], 1),
    "ends with stray continuation bytes": ("byte_level", ["a", "Ł", "Ł"], 0),
    "ends with special tokens": ("byte_level", ["a", "b", "</s>", "<s>"], 1),
    "has special tokens only": ("byte_level", ["<s>", "<s>"], 0),
    "is empty": ("byte_level", [], 0),
    "ends with byte tokens": ("byte_fallback", ["▁", "<0xE4>", "</s>", "<0xBD>"], 0),
    "ends after byte tokens": ("byte_fallback", ["▁", "<0xE4>", "▁", "<s>"], 2),
    "has byte tokens only": ("byte_fallback", ["<0xE4>", "<0xBD>"], 0),
    "ends with a mark": ("metaspace", ["▁", "▁", "</s>"], 1),
    "ends with a part of a word": ("wordpiece", ["h", "##e"], 1),
    "ends inside a word": ("word_suffix", ["t</w>", "h", "</s>"], 1),
}


@pytest.mark.parametrize(("family", "tokens", "start"), CASES.values(), ids=CASES.keys())
def test_the_tail_is_as_short_as_the_family_allows(
    family: str, tokens: list[str], start: int
) -> None:
    """The property tests prove that it is long enough."""
    detokenizer = loaded_family(family).detokenizer
    ids = [detokenizer.vocabulary.tokens.index(token) for token in tokens]
    assert detokenizer.tail_start(ids) == start
