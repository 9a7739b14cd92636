"""From a conversation to ids: renders, and keeps the callers' texts from making special tokens."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from tokenizers import Tokenizer

from steeple_rpc.errors import InvalidRequest
from tokenizer_svc.chat.conversation import Chat, caller_texts, template_variables
from tokenizer_svc.chat.special_text import END_MARK, Marks, SpecialText, free_marks
from tokenizer_svc.chat.template_meter import RenderLimits

MIN_RENDERED_CHARS = 1 << 20
RENDERED_PER_CHAR = 4
MIN_WORK = 16 << 20
WORK_PER_CHAR = 16


class Template(Protocol):
    """A model's chat template, wherever it runs."""

    def render(self, variables: Mapping[str, Any], limits: RenderLimits) -> str:
        """Render; takes CPU time.

        Raises:
            InvalidRequest: reason TEMPLATE_FAILED.
        """


class ChatEncoder:
    """Turns conversations of one model into ids. May be used by many threads.

    Args:
        template: the model's.
        special_names: template variables such as `bos_token`.
        special_text: knows the spellings of the special tokens.
        plain: the model's tokenizer.
        twin: its twin, whose special tokens are spelled as `special_text` respells them.
        special_ids: that ordinary text cannot make; the unknown token is not among them.
    """

    def __init__(
        self,
        template: Template,
        special_names: Mapping[str, str],
        special_text: SpecialText,
        *,
        plain: Tokenizer,
        twin: Tokenizer,
        special_ids: frozenset[int],
    ) -> None:
        self._template = template
        self._special_names = special_names
        self._special_text = special_text
        self._plain = plain
        self._twin = twin
        self._special_ids = special_ids

    def encode(self, chat: Chat, *, max_chars: int, max_cpu_s: float) -> list[int]:
        """The ids of the conversation.

        Args:
            chat: the conversation.
            max_chars: a longer text is not worth encoding.
            max_cpu_s: CPU time of the template.

        Raises:
            InvalidRequest: TEMPLATE_FAILED, PROMPT_TOO_LONG, or the text cannot be taken.
        """
        texts = caller_texts(chat)
        is_plain = not any(map(self._special_text.is_suspicious, texts))
        marks = None if is_plain else free_marks(texts)
        rendered = self._rendered(chat, marks, _limits(texts, max_cpu_s))
        if len(rendered) > max_chars:
            raise InvalidRequest(
                f"the conversation has {len(rendered)} characters; at most {max_chars} can fit",
                reason="PROMPT_TOO_LONG",
                field="messages",
            )
        return self._plain_ids(rendered) if marks is None else self._twin_ids(rendered, marks)

    def _plain_ids(self, rendered: str) -> list[int]:
        """All spellings in the text are the template's own."""
        ids: list[int] = self._plain.encode(rendered, add_special_tokens=False).ids
        num_special = sum(token_id in self._special_ids for token_id in ids)
        if num_special == self._special_text.num_spelled(rendered):
            return ids
        # Normalization has made special tokens of text that did not spell any.
        return self._twin_ids(rendered, free_marks([rendered]))

    def _twin_ids(self, rendered: str, marks: Marks) -> list[int]:
        respelled = self._special_text.respelled(rendered, marks)
        ids: list[int] = self._twin.encode(respelled, add_special_tokens=False).ids
        return ids

    def _rendered(self, chat: Chat, marks: Marks | None, limits: RenderLimits) -> str:
        def marked(text: str) -> str:
            return text if marks is None else self._special_text.mark(text, marks)

        variables = {**self._special_names, **template_variables(chat, marked)}
        if chat.continue_final_message:
            free_marks([chat.messages[-1].content])
            # The blank tells whether the template trims contents.
            variables["messages"][-1]["content"] += f"{END_MARK} "
        rendered = self._template.render(variables, limits)
        return _opened(rendered) if chat.continue_final_message else rendered


def _opened(rendered: str) -> str:
    """The text up to the end of the final content."""
    content, end, rest = rendered.rpartition(END_MARK)
    if not end:
        raise InvalidRequest(
            "the model's chat template does not show the final message, so it cannot be continued",
            reason="TEMPLATE_FAILED",
            field="continue_final_message",
        )
    return content.replace(END_MARK, "") if rest.startswith(" ") else content.rstrip()


def _limits(texts: Sequence[str], max_cpu_s: float) -> RenderLimits:
    num_chars = sum(map(len, texts))
    return RenderLimits(
        max_chars=RENDERED_PER_CHAR * num_chars + MIN_RENDERED_CHARS,
        max_work=WORK_PER_CHAR * num_chars + MIN_WORK,
        max_cpu_s=max_cpu_s,
    )
