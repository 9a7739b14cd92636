"""Whatever a caller writes, a conversation has the special tokens of its template only."""

from hypothesis import given
from hypothesis import strategies as st

from tests.support.tokenizers import SPECIAL_TOKENS, loaded_family
from tokenizer_svc.chat.conversation import Chat, ChatMessage, Role
from tokenizer_svc.chat.special_text import Marks, SpecialText, free_marks
from tokenizer_svc.tokenizer import TextBounds

BOUNDS = TextBounds(max_tokens=65_536, template_cpu_s=10.0)
CONTENTS = [*SPECIAL_TOKENS, "☃", "☃☃x", "[I]", "<<"]
OVERLAPPING = [*CONTENTS, "aa", "aab", "abaa"]
MARKS = Marks(opening="\ufdd2", closing="\ufdd3")
PARTS = [content[:n] for content in OVERLAPPING for n in range(1, len(content) + 1)]
PARTS += [content[n:] for content in OVERLAPPING for n in range(1, len(content))]
# Noncharacters beside special tokens are refused; the unit tests tell.
any_text = st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=3)
hostile_texts = st.lists(st.sampled_from(PARTS) | any_text, max_size=6).map("".join)


@given(texts=st.lists(hostile_texts, min_size=1, max_size=3))
def test_a_conversation_has_as_many_special_tokens_as_its_template(texts: list[str]) -> None:
    """Two per message, and one that opens the answer; and the texts are all there."""
    tokenizer = loaded_family("byte_level")
    messages = tuple(ChatMessage(role=Role.USER, content=text) for text in texts)
    ids = tokenizer.encode_chat(Chat(messages=messages, template_args={}), BOUNDS).ids
    special_ids = tokenizer.detokenizer.vocabulary.special_ids
    assert sum(token_id in special_ids for token_id in ids) == 2 * len(texts) + 1
    expected = "".join(f"user\n{text}\n" for text in texts) + "assistant\n"
    assert tokenizer.decode(ids, skip_special_tokens=True) == expected


@given(text=hostile_texts, before=st.sampled_from(CONTENTS), after=st.sampled_from(CONTENTS))
def test_marks_tell_the_templates_tokens_from_the_callers(
    text: str, before: str, after: str
) -> None:
    """Exactly the template's are respelled, also where a caller's text could complete another."""
    special = SpecialText(CONTENTS)
    respelled = special.respelled(before + special.mark(text, MARKS) + after, MARKS)
    own = [special.respelled(token, MARKS) for token in (before, after)]
    assert respelled == own[0] + text + own[1]


@given(text=hostile_texts)
def test_marked_text_spells_nothing(text: str) -> None:
    """But single characters, which stand between marks."""
    marked = SpecialText(OVERLAPPING).mark(text, MARKS)
    assert SpecialText([c for c in OVERLAPPING if len(c) > 1]).num_spelled(marked) == 0
    assert marked.count("☃") == marked.count(f"{MARKS.opening}☃{MARKS.closing}")


@given(text=st.text(st.sampled_from("\ufdd2\ufdd4\ufdef"), max_size=3))
def test_free_marks_are_free(text: str) -> None:
    """And differ."""
    marks = free_marks([text])
    assert marks.opening not in text
    assert marks.closing not in text
    assert marks.opening != marks.closing
