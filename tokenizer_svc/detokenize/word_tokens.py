"""Tokens that are words or parts of words, spaced by rule; pure.

Metaspace marks the spaces in front of words, WordPiece the parts that continue a word, and the
BPE suffix the ends of words.
"""

from dataclasses import dataclass
from typing import ClassVar

# English spacing as the tokenizers library cleans it up, in its order, token by token.
_CLEANUP = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" do not", " don't"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetaspaceFamily:
    """A mark stands for a space; the first token's marks are dropped where one was prepended."""

    name: ClassVar[str] = "sentencepiece"

    mark: str
    is_first_stripped: bool

    def start(self) -> "SpacedDecoder":
        """A decoder at the start of a text."""
        return SpacedDecoder(self)

    def is_anchor(self, token: str) -> bool:  # noqa: ARG002 - the protocol's signature
        """Every token: only the first of all is special."""
        return True

    def text_of(self, token: str, *, is_first: bool) -> str:
        """The token's text by its place."""
        return token.replace(self.mark, "" if is_first and self.is_first_stripped else " ")


@dataclass(frozen=True, slots=True, kw_only=True)
class WordPieceFamily:
    """A prefix marks the parts that continue a word; all other tokens follow a space."""

    name: ClassVar[str] = "wordpiece"

    prefix: str
    cleanup: bool
    """Pull punctuation and English contractions to the word before them."""

    def start(self) -> "SpacedDecoder":
        """A decoder at the start of a text."""
        return SpacedDecoder(self)

    def is_anchor(self, token: str) -> bool:  # noqa: ARG002 - the protocol's signature
        """Every token: only the first of all is special."""
        return True

    def text_of(self, token: str, *, is_first: bool) -> str:
        """The token's text by its place."""
        text = token if is_first else self._joined(token)
        for what, by in _CLEANUP if self.cleanup else ():
            text = text.replace(what, by)
        return text

    def _joined(self, token: str) -> str:
        return token.removeprefix(self.prefix) if token.startswith(self.prefix) else f" {token}"


class SpacedDecoder:
    """Decodes one growing sequence whose tokens depend on nothing but being the first."""

    __slots__ = ("_family", "_is_first")

    def __init__(self, family: MetaspaceFamily | WordPieceFamily) -> None:
        self._family = family
        self._is_first = True

    @property
    def is_settled(self) -> bool:
        """Always: nothing is ever held back."""
        return True

    def push(self, token: str) -> str:
        """Take one token; its text."""
        text = self._family.text_of(token, is_first=self._is_first)
        self._is_first = False
        return text

    def pending(self) -> str:
        """Nothing."""
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WordSuffixFamily:
    """A suffix marks the end of a word: a space, except at the end of the text."""

    name: ClassVar[str] = "wordpiece"

    suffix: str

    def start(self) -> "WordSuffixDecoder":
        """A decoder at the start of a text."""
        return WordSuffixDecoder(self.suffix)

    def is_anchor(self, token: str) -> bool:  # noqa: ARG002 - the protocol's signature
        """Every token: it makes the one before it certain."""
        return True


class WordSuffixDecoder:
    """Decodes one growing sequence; holds back a token from its first suffix on."""

    __slots__ = ("_rest", "_suffix")

    def __init__(self, suffix: str) -> None:
        self._suffix = suffix
        self._rest = ""

    @property
    def is_settled(self) -> bool:
        """Whether the last token had no suffix."""
        return not self._rest

    def push(self, token: str) -> str:
        """Take one token; the text that is now certain."""
        before = self._rest.replace(self._suffix, " ")
        head, suffix, tail = token.partition(self._suffix)
        self._rest = suffix + tail
        return before + head

    def pending(self) -> str:
        """The end of the last token if nothing followed."""
        return self._rest.replace(self._suffix, "")
