"""SentencePiece tokens with bytes for unknown characters (`<0xE4>`); pure.

A run of byte tokens is text only as a whole: one invalid run turns into as many U+FFFD as it has
bytes. So a run is certain only when another token has ended it.
"""

import re
from dataclasses import dataclass
from typing import ClassVar

# The library reads the two digits with a parser that takes a plus sign for the first.
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2}|\+[0-9A-Fa-f])>")
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ByteFallbackFamily:
    """Replacements in each token, then byte runs, then one strip at the start of the text."""

    name: ClassVar[str] = "sentencepiece"

    replacements: tuple[tuple[str, str], ...]
    """(what, by what), applied to each token in order."""
    has_byte_tokens: bool
    strip_char: str = " "
    max_stripped: int = 0
    """So many `strip_char` at most are dropped where the text starts with them."""

    def start(self) -> "ByteFallbackDecoder":
        """A decoder at the start of a text."""
        return ByteFallbackDecoder(self)

    def is_anchor(self, token: str) -> bool:
        """Whether the token ends a byte run and the part of the text that may be stripped."""
        piece = self.piece_of(token)
        if self.byte_of(piece) is not None:
            return False
        return len(piece) > 0 and (
            len(piece) >= self.max_stripped or piece.strip(self.strip_char) != ""
        )

    def piece_of(self, token: str) -> str:
        """The token after the replacements."""
        for what, by in self.replacements:
            token = token.replace(what, by)
        return token

    def byte_of(self, piece: str) -> int | None:
        """The byte that a byte token stands for; None for every other token."""
        if not self.has_byte_tokens:
            return None
        match = _BYTE_TOKEN.fullmatch(piece)
        return int(match[1], 16) if match else None


class ByteFallbackDecoder:
    """Decodes one growing sequence; holds back the byte run at its end."""

    __slots__ = ("_family", "_may_strip", "_run")

    def __init__(self, family: ByteFallbackFamily) -> None:
        self._family = family
        self._run = bytearray()
        self._may_strip = family.max_stripped

    @property
    def is_settled(self) -> bool:
        """Whether no byte run is open."""
        return not self._run

    def push(self, token: str) -> str:
        """Take one token; the text that is now certain."""
        piece = self._family.piece_of(token)
        byte = self._family.byte_of(piece)
        if byte is not None:
            self._run.append(byte)
            return ""
        text = run_text(self._run) + piece
        self._run.clear()
        num_stripped = self._num_stripped(text)
        self._may_strip = self._may_strip - num_stripped if num_stripped == len(text) else 0
        return text[num_stripped:]

    def pending(self) -> str:
        """What the open run would be if nothing followed."""
        text = run_text(self._run)
        return text[self._num_stripped(text) :]

    def _num_stripped(self, text: str) -> int:
        start = text[: self._may_strip]
        return len(start) - len(start.lstrip(self._family.strip_char))


def run_text(run: bytearray) -> str:
    """The text of a whole byte run: its UTF-8, or one U+FFFD per byte if it is invalid."""
    try:
        return run.decode()
    except UnicodeDecodeError:
        return REPLACEMENT * len(run)
