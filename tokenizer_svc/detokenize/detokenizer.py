"""Decodes growing outputs exactly; pure.

The text of an answer is what decoding prompt + output adds after its longest common prefix with
decoding the prompt alone. Nothing is told that later tokens could change.
"""

from collections.abc import Sequence
from typing import Protocol

from tokenizer_svc.detokenize.vocabulary import Vocabulary


class TokenDecoder(Protocol):
    """Decodes one growing sequence of tokens.

    At any time all pushed text + `pending()` is what decoding the whole sequence gives, and the
    pushed text alone is a prefix of decoding it with any continuation.
    """

    @property
    def is_settled(self) -> bool:
        """Whether the text of every token so far is certain and was returned."""

    def push(self, token: str) -> str:
        """Take one token; the text that is now certain."""

    def pending(self) -> str:
        """The text of what is held back if nothing followed."""


class DecoderFamily(Protocol):
    """How the tokens of one tokenizer become text. Immutable, shared by all sessions."""

    @property
    def name(self) -> str:
        """byte_level, sentencepiece or wordpiece."""

    def start(self) -> TokenDecoder:
        """A decoder at the start of a text."""

    def is_anchor(self, token: str) -> bool:
        """Whether a decoder that starts at this token goes on like one that saw all before it."""


class Detokenizer:
    """Decodes the ids of one tokenizer. Immutable, shared by all sessions."""

    def __init__(self, vocabulary: Vocabulary, family: DecoderFamily) -> None:
        self.vocabulary = vocabulary
        self.family = family

    def tail_start(self, ids: Sequence[int]) -> int:
        """The index from which on `ids` decide how the text goes on; 0 if all are needed.

        Holds with and without special tokens in the text.
        """
        tokens, special = self.vocabulary.tokens, self.vocabulary.special_ids
        for place in range(len(ids) - 1, -1, -1):
            token = tokens[ids[place]]
            if token is not None and ids[place] not in special and self.family.is_anchor(token):
                return place
        return 0

    def token_text(self, token_id: int) -> str:
        """The token alone as text, special tokens included."""
        token = self.vocabulary.tokens[token_id]
        if token is None:
            return ""
        decoder = self.family.start()
        return decoder.push(token) + decoder.pending()


class AnswerDecoder:
    """The text of one growing answer.

    Args:
        detokenizer: of the answer's tokenizer.
        prompt_tail_ids: the end of the prompt, from `tail_start` or any earlier index on.
        skip_special_tokens: leave special tokens out of the text.
    """

    __slots__ = ("_decoder", "_prompt_rest", "_silent", "_tokens")

    def __init__(
        self,
        detokenizer: Detokenizer,
        prompt_tail_ids: Sequence[int],
        *,
        skip_special_tokens: bool,
    ) -> None:
        self._tokens = detokenizer.vocabulary.tokens
        self._silent = (
            detokenizer.vocabulary.special_ids if skip_special_tokens else frozenset[int]()
        )
        self._decoder = detokenizer.family.start()
        for token_id in prompt_tail_ids:
            self._advance(token_id)
        # The uncertain end of the prompt's own text: the answer starts where it differs from it.
        self._prompt_rest = self._decoder.pending()

    @property
    def is_settled(self) -> bool:
        """Whether the text of every id so far is certain and was returned."""
        return self._decoder.is_settled

    def push(self, token_id: int) -> str:
        """Take one output id; the text of the answer that is now certain."""
        return self._beyond_prompt(self._advance(token_id))

    def finish(self) -> str:
        """The rest of the text, given that no id will follow. Call at most once, at the end."""
        return self._beyond_prompt(self._decoder.pending())

    def _advance(self, token_id: int) -> str:
        token = self._tokens[token_id]
        if token is None or token_id in self._silent:
            return ""
        return self._decoder.push(token)

    def _beyond_prompt(self, text: str) -> str:
        if not self._prompt_rest:
            return text
        num_shared = _num_shared(text, self._prompt_rest)
        is_all_shared = num_shared == len(text)
        self._prompt_rest = self._prompt_rest[num_shared:] if is_all_shared else ""
        return text[num_shared:]


def _num_shared(first: str, second: str) -> int:
    """Length of the longest common prefix."""
    pairs = zip(first, second, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))
