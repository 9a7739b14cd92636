"""One loaded tokenizer: what the service can do with the files of one model."""

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from steeple_rpc.errors import FailedPrecondition, InvalidRequest
from tokenizer_svc.chat.conversation import Chat
from tokenizer_svc.chat.encoder import ChatEncoder
from tokenizer_svc.detokenize.detokenizer import Detokenizer

CHARS_PER_TOKEN = 8
MIN_MAX_CHARS = 4096
"""Short texts are always encoded: only then is it known how many ids they have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedPrompt:
    """The ids of one prompt."""

    ids: list[int]
    tail_start: int
    """A detokenize session for this prompt needs only ids[tail_start:]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerInfo:
    """Which tokenizer this is."""

    model: str
    vocab_size: int
    """Ids are below this."""
    fingerprint: str
    has_chat_template: bool
    decoder: str
    """The decoder family: byte_level, sentencepiece or wordpiece."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextBounds:
    """What one prompt may cost."""

    max_tokens: int
    template_cpu_s: float
    """CPU time of one rendering."""

    def lowered_to(self, max_tokens: int | None) -> "TextBounds":
        """These bounds, with the caller's own limit where it is lower."""
        if max_tokens is None or max_tokens >= self.max_tokens:
            return self
        return TextBounds(max_tokens=max_tokens, template_cpu_s=self.template_cpu_s)

    @property
    def max_chars(self) -> int:
        """A longer text is refused before it is encoded."""
        return max(MIN_MAX_CHARS, CHARS_PER_TOKEN * self.max_tokens)


class LoadedTokenizer:
    """Encodes and decodes for one model. Immutable; all methods take CPU time, any thread may.

    Args:
        info: what it is.
        tokenizer: the library's.
        detokenizer: the same vocabulary, for growing outputs.
        chat: None where the model has no chat template.
    """

    def __init__(
        self,
        info: TokenizerInfo,
        tokenizer: Tokenizer,
        detokenizer: Detokenizer,
        chat: ChatEncoder | None,
    ) -> None:
        self.info = info
        self.detokenizer = detokenizer
        self._tokenizer = tokenizer
        self._chat = chat

    def encode(self, text: str, bounds: TextBounds, *, add_special_tokens: bool) -> EncodedPrompt:
        """Encode a text as it is: spellings of special tokens in it become special tokens.

        Raises:
            InvalidRequest: PROMPT_TOO_LONG.
        """
        if len(text) > bounds.max_chars:
            raise InvalidRequest(
                f"the text has {len(text)} characters; at most {bounds.max_chars} can fit into"
                f" {bounds.max_tokens} tokens",
                reason="PROMPT_TOO_LONG",
                field="text",
            )
        ids = self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids
        return self._prompt(ids, bounds, field="text")

    def encode_chat(self, chat: Chat, bounds: TextBounds) -> EncodedPrompt:
        """Render a conversation and encode it; its texts never become special tokens.

        Raises:
            FailedPrecondition: NO_CHAT_TEMPLATE.
            InvalidRequest: TEMPLATE_FAILED, PROMPT_TOO_LONG.
        """
        if self._chat is None:
            raise FailedPrecondition(
                "the model has no chat template", reason="NO_CHAT_TEMPLATE", field="model"
            )
        ids = self._chat.encode(chat, max_chars=bounds.max_chars, max_cpu_s=bounds.template_cpu_s)
        return self._prompt(ids, bounds, field="messages")

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        """The text of a whole sequence.

        Raises:
            InvalidRequest: an id is out of range.
        """
        self.detokenizer.vocabulary.check_ids(ids, field="ids")
        text: str = self._tokenizer.decode(ids, skip_special_tokens=skip_special_tokens)
        return text

    def _prompt(self, ids: list[int], bounds: TextBounds, *, field: str) -> EncodedPrompt:
        if len(ids) > bounds.max_tokens:
            raise InvalidRequest(
                f"the prompt has {len(ids)} tokens; the limit is {bounds.max_tokens}",
                reason="PROMPT_TOO_LONG",
                field=field,
            )
        return EncodedPrompt(ids=ids, tail_start=self.detokenizer.tail_start(ids))
