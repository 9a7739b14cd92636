"""Marks around what looks like a special token, and what they are good for."""

import pytest

from steeple_rpc.errors import InvalidRequest
from tokenizer_svc.chat.special_text import SPELLING_MARK, Marks, SpecialText, free_marks, spelling

A, B = "\ufdd2", "\ufdd3"
MARKS = Marks(opening=A, closing=B)
CONTENTS = ["<s>", "</s>", "<|im_end|>", "[INST]", "☃", "<<", "ab", "bab"]


@pytest.fixture
def special() -> SpecialText:
    return SpecialText(CONTENTS)


def test_every_overlapping_occurrence_is_broken(special: SpecialText) -> None:
    """None of the spellings survives in the marked text; without marks it is the same text."""
    text = "<<<s></s>x<|im_end|>babab<<<<[INST]"
    marked = special.mark(text, MARKS)
    assert marked.replace(A, "").replace(B, "") == text
    assert special.num_spelled(marked) == 0


def test_a_single_character_is_marked_on_both_sides(special: SpecialText) -> None:
    """It cannot be broken; so it is told apart by the marks around it."""
    assert special.mark("a☃b", MARKS) == f"a{A}☃{B}b"
    rendered = f"☃{special.mark('a☃b', MARKS)}☃"
    own = spelling(CONTENTS.index("☃"))
    assert special.respelled(rendered, MARKS) == f"{own}a☃b{own}"


def test_the_templates_own_tokens_are_respelled(special: SpecialText) -> None:
    """Also where they touch marked text."""
    caller = special.mark("</s>", MARKS)
    assert special.respelled(f"<s>{caller}</s>", MARKS) == f"{spelling(0)}</s>{spelling(1)}"


@pytest.mark.parametrize("text", ["INST", " INST", "s", "INST] x", "x [INST", "|im_end|>", "/s\n"])
def test_what_a_template_could_complete_is_marked(special: SpecialText, text: str) -> None:
    """Parts that lack only punctuation, also behind white space that a template trims."""
    assert special.is_suspicious(text)
    for trimmed in (text, text.strip()):
        marked = special.mark(text, MARKS).strip() if trimmed != text else special.mark(text, MARKS)
        for before in ("", "[", "<", "<|", "</"):
            for after in ("", "]", ">", "|>"):
                respelled = special.respelled(f"{before}{marked}{after}", MARKS)
                assert SPELLING_MARK not in respelled


@pytest.mark.parametrize("text", ["", " ", "hello", "> quote", "a < b", "user", "]", "institution"])
def test_usual_text_is_not_suspicious(special: SpecialText, text: str) -> None:
    """So that it is rendered and encoded as it is."""
    assert not special.is_suspicious(text)


def test_a_tokenizer_may_have_no_special_tokens() -> None:
    """Then nothing is ever suspicious."""
    special = SpecialText([])
    assert not special.is_suspicious("<s>")
    assert special.num_spelled("<s>") == 0
    assert special.respelled("<s>", MARKS) == "<s>"


def test_the_marks_are_in_no_text() -> None:
    """Noncharacters that texts contain are passed over; without any left the text is refused."""
    assert free_marks(["a", "b\ufdd2"]) == Marks(opening="\ufdd3", closing="\ufdd4")
    most = "".join(map(chr, range(0xFDD2, 0xFDEF)))
    for texts in ([most], ["\ufdd0"], ["\ufdd1"]):
        with pytest.raises(InvalidRequest, match="no characters") as caught:
            free_marks(texts)
        assert caught.value.reason == "NONCHARACTER"
