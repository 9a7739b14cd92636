"""Turn conversations into the exact text that the model reads.

The Jinja template serves the callers of the model, `segments` serves its training;
a test holds the two to the same text.
"""

from dataclasses import dataclass
from typing import Final

from steeple_demo.corpus import Conversation, Form

__all__ = [
    "CHAT_TEMPLATE",
    "END_OF_ROLE",
    "END_OF_TEXT",
    "PAD",
    "SPECIAL_TOKENS",
    "START_OF_ROLE",
    "Segment",
    "segments",
]

END_OF_TEXT: Final = "<|end_of_text|>"
PAD: Final = "<|pad|>"
START_OF_ROLE: Final = "<|start_of_role|>"
END_OF_ROLE: Final = "<|end_of_role|>"
SPECIAL_TOKENS: Final = (END_OF_TEXT, PAD, START_OF_ROLE, END_OF_ROLE)
"""In the order of their token ids, which start at 0."""

CHAT_TEMPLATE: Final = (
    "{% for message in messages %}"
    f"{START_OF_ROLE}{{{{ message['role'] }}}}{END_OF_ROLE}"
    f"{{{{ message['content'] }}}}{END_OF_TEXT}\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}"
    f"{START_OF_ROLE}assistant{END_OF_ROLE}"
    "{% endif %}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A stretch of text that is either given to the model or learned by it.

    Segments are tokenized one by one, as a server does: it tokenizes the prompt alone,
    so no token may reach across the border between a question and its answer.
    """

    text: str
    is_learned: bool


def segments(conversation: Conversation) -> list[Segment]:
    """Render a conversation as alternating given and learned text.

    Every learned segment is one answer followed by the end-of-text token.
    """
    given = _opening(conversation)
    rendered: list[Segment] = []
    for turn in conversation.turns:
        given += _question(turn.question, form=conversation.form)
        rendered.append(Segment(text=given, is_learned=False))
        rendered.append(Segment(text=turn.answer + END_OF_TEXT, is_learned=True))
        given = "\n"
    return rendered


def _opening(conversation: Conversation) -> str:
    if conversation.system is None:
        return ""
    return _message("system", content=conversation.system)


def _question(question: str, *, form: Form) -> str:
    if form is Form.RAW:
        return question
    return f"{_message('user', content=question)}{START_OF_ROLE}assistant{END_OF_ROLE}"


def _message(role: str, *, content: str) -> str:
    return f"{START_OF_ROLE}{role}{END_OF_ROLE}{content}{END_OF_TEXT}\n"
