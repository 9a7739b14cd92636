"""The tokens that are known, by their hashes alone: the file's format, and the look-up.

A token carries 256 random bits. One SHA-256 of it is enough: a slow hash defends secrets that
can be guessed, and nobody guesses these; what leaks with the file opens nothing.
"""

import hashlib
import hmac
import re
import secrets
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from steeple_rpc.principal import MAX_NAME, Principal, is_name
from steeple_rpc.refused import SettingRefused

TOKEN_BYTES = 32
# Tells people, and scanners of leaked secrets, what it is.
TOKEN_PREFIX = "steeple_"  # noqa: S105 - of every token, so of none
_PREFIX_BYTES = 8
_SHA256 = re.compile(r"[0-9a-f]{64}")
_KEYS = frozenset({"principal", "sha256", "expires", "max_share"})


class TokensRefused(SettingRefused):
    """The table cannot be read; the message says which entry is wrong and never what is in it."""

    default_reason = "TOKENS_REFUSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRecord:
    """One token as it is kept: never the token itself."""

    digest: bytes
    """SHA-256 of the token."""
    principal: Principal
    expires: datetime | None
    """Aware; None = never."""

    def is_expired(self, now: datetime) -> bool:
        """Whether it opens nothing any more."""
        return self.expires is not None and now >= self.expires


class TokenTable:
    """All records of a file.

    Raises:
        TokensRefused: a hash is there twice, or a principal has two different shares.
    """

    def __init__(self, records: Iterable[TokenRecord]) -> None:
        self.records = tuple(records)
        if len({record.digest for record in self.records}) < len(self.records):
            raise TokensRefused("two tokens have the same sha256")
        if len({r.principal for r in self.records}) > len({r.principal.name for r in self.records}):
            raise TokensRefused("the tokens of one principal must have the same max_share")
        self._by_prefix: dict[bytes, list[TokenRecord]] = {}
        for record in self.records:
            self._by_prefix.setdefault(record.digest[:_PREFIX_BYTES], []).append(record)

    def find(self, token: str) -> TokenRecord | None:
        """The record of `token`, expired or not; None if nobody has it.

        How long the look-up takes may tell of a hash's first bytes; a caller cannot steer its
        token's hash towards them. The whole hash is compared in constant time.
        """
        digest = digest_of(token)
        near = self._by_prefix.get(digest[:_PREFIX_BYTES], ())
        return next((r for r in near if hmac.compare_digest(r.digest, digest)), None)


def new_token() -> str:
    """A fresh token of 256 random bits."""
    return TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def digest_of(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).digest()


def parse_table(text: str) -> TokenTable:
    """Read the file's text: TOML with one `[[token]]` per token.

    Raises:
        TokensRefused: it is not of its form.
    """
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Of Python itself, too: it reads no numbers of thousands of digits, and no depths.
        raise TokensRefused("it is not TOML that can be read") from error
    entries = tables.pop("token", [])
    if tables or not isinstance(entries, list):
        raise TokensRefused("only [[token]] tables may be in it")
    return TokenTable(_record(entry, index) for index, entry in enumerate(entries, 1))


def record_text(record: TokenRecord) -> str:
    """The record as `parse_table` reads it."""
    lines = [
        "[[token]]",
        f'principal = "{_escaped(record.principal.name)}"',
        f'sha256 = "{record.digest.hex()}"',
    ]
    if record.expires is not None:
        lines.append(f"expires = {record.expires.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")
    if record.principal.max_share is not None:
        lines.append(f"max_share = {float(record.principal.max_share)}")
    return "\n".join([*lines, ""])


def _record(entry: Any, index: int) -> TokenRecord:
    if not isinstance(entry, Mapping) or entry.keys() - _KEYS:
        raise _fault(index, f"may only have {', '.join(sorted(_KEYS))}")
    name, digest = entry.get("principal"), entry.get("sha256")
    if not isinstance(name, str) or not is_name(name):
        raise _fault(index, f"needs a principal of 1 to {MAX_NAME} printable characters")
    if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
        raise _fault(index, "needs a sha256 of 64 hexadecimal digits in lower case")
    return TokenRecord(
        digest=bytes.fromhex(digest),
        principal=Principal(name=name, max_share=_share(entry.get("max_share"), index)),
        expires=_expiry(entry.get("expires"), index),
    )


def _share(given: Any, index: int) -> float | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given <= 1:
        raise _fault(index, "needs a max_share above 0 to 1")
    return float(given)


def _expiry(given: Any, index: int) -> datetime | None:
    if given is None:
        return None
    if not isinstance(given, datetime) or given.tzinfo is None:
        raise _fault(index, "needs a time with its zone as expires, as in 2030-01-31T00:00:00Z")
    return given


def _fault(index: int, message: str) -> TokensRefused:
    return TokensRefused(f"token {index} {message}")


def _escaped(name: str) -> str:
    return name.replace("\\", "\\\\").replace('"', '\\"')
