"""Tokens that spell bytes in the GPT-2 alphabet; pure.

A token whose characters all belong to the alphabet stands for those bytes; any other token
stands for its own UTF-8.
"""

import codecs
from dataclasses import dataclass
from typing import ClassVar


def byte_alphabet() -> dict[str, int]:
    """The byte that each character of the GPT-2 alphabet stands for.

    Printable bytes stand for themselves, the others are moved to U+0100 and up, in order.
    """
    kept = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
    moved = (byte for byte in range(0x100) if byte not in kept)
    itself = {chr(byte): byte for byte in kept}
    return itself | {chr(0x100 + place): byte for place, byte in enumerate(moved)}


_CONTINUATION_MASK = 0b1100_0000
_CONTINUATION = 0b1000_0000
_BYTE_OF = byte_alphabet()


def token_bytes(token: str) -> bytes:
    """The bytes that a token stands for."""
    try:
        return bytes(map(_BYTE_OF.__getitem__, token))
    except KeyError:
        return token.encode()


@dataclass(frozen=True, slots=True)
class ByteLevelFamily:
    """Text is the UTF-8 decoding of all bytes; what is invalid becomes U+FFFD."""

    name: ClassVar[str] = "byte_level"

    def start(self) -> "ByteLevelDecoder":
        """A decoder at the start of a text."""
        return ByteLevelDecoder()

    def is_anchor(self, token: str) -> bool:
        """Whether the token starts a character or cannot continue one: earlier bytes are done."""
        data = token_bytes(token)
        return bool(data) and not _is_continuation(data[0])


def _is_continuation(byte: int) -> bool:
    return byte & _CONTINUATION_MASK == _CONTINUATION


class ByteLevelDecoder:
    """Decodes one growing sequence; holds back the bytes of an unfinished character."""

    __slots__ = ("_utf8",)

    def __init__(self) -> None:
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")

    @property
    def is_settled(self) -> bool:
        """Whether no byte waits for its character."""
        return not self._waiting()

    def push(self, token: str) -> str:
        """Take one token; the text that is now certain."""
        return self._utf8.decode(token_bytes(token))

    def pending(self) -> str:
        """What the waiting bytes would be if nothing followed."""
        return self._waiting().decode("utf-8", errors="replace")

    def _waiting(self) -> bytes:
        return self._utf8.getstate()[0]
