"""The token table: what it takes, what it finds, and that it never holds a token."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from steeple_rpc.auth.token_table import (
    TOKEN_PREFIX,
    TokenRecord,
    TokensRefused,
    TokenTable,
    digest_of,
    new_token,
    parse_table,
    record_text,
)
from steeple_rpc.principal import Principal

DIGEST = "ab" * 32
GOOD = f'principal = "alice"\nsha256 = "{DIGEST}"\n'


def record(token: str, name: str = "alice", **given: float) -> TokenRecord:
    return TokenRecord(
        digest=digest_of(token), principal=Principal(name=name, **given), expires=None
    )


def test_a_token_is_found_by_itself_alone() -> None:
    """Not by another one, its hash, or a part of it."""
    token = new_token()
    table = TokenTable([record(token), record(new_token(), "bob")])
    found = table.find(token)
    assert found is not None
    assert found.principal == Principal(name="alice")
    for other in ("", new_token(), digest_of(token).hex(), token[:-1], token + "x"):
        assert table.find(other) is None


def test_hashes_that_begin_alike_are_told_apart() -> None:
    """The look-up goes by the first bytes, the proof by all of them."""
    token = new_token()
    digest = digest_of(token)
    near = TokenRecord(
        digest=digest[:-1] + bytes([digest[-1] ^ 1]), principal=Principal(name="bob"), expires=None
    )
    assert TokenTable([near]).find(token) is None
    found = TokenTable([near, record(token)]).find(token)
    assert found is not None
    assert found.principal.name == "alice"


def test_a_token_has_256_bits_and_says_what_it_is() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(token.startswith(TOKEN_PREFIX) and len(token) == 8 + 43 for token in tokens)


@pytest.mark.parametrize("name", ["alice", 'a "b" \\ c', "Zoë 🌲"])
def test_a_record_is_read_as_it_was_written(name: str) -> None:
    expires = datetime(2031, 5, 6, 7, 8, 9, tzinfo=timezone(timedelta(hours=2)))
    written = TokenRecord(
        digest=digest_of("x"), principal=Principal(name=name, max_share=0.25), expires=expires
    )
    assert parse_table(record_text(written)).records == (written,)


def test_a_token_expires_at_its_moment() -> None:
    moment = datetime(2031, 1, 1, tzinfo=UTC)
    (kept,) = parse_table(f"[[token]]\n{GOOD}expires = 2031-01-01T00:00:00Z").records
    assert not kept.is_expired(moment - timedelta(microseconds=1))
    assert kept.is_expired(moment)


def test_an_empty_file_lets_nobody_in() -> None:
    assert parse_table("").find(new_token()) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[token", "not TOML"),
        ("x = 1", r"only \[\[token\]\]"),
        ("token = 3", r"only \[\[token\]\]"),
        ("token = [3]", "token 1 may only have"),
        (f'[[token]]\n{GOOD}secret = "s"', "token 1 may only have"),
        (f'[[token]]\nsha256 = "{DIGEST}"', "needs a principal"),
        (f'[[token]]\nprincipal = "a\\nb"\nsha256 = "{DIGEST}"', "needs a principal"),
        (f'[[token]]\nprincipal = "{"a" * 129}"\nsha256 = "{DIGEST}"', "needs a principal"),
        ('[[token]]\nprincipal = "alice"', "needs a sha256"),
        (f'[[token]]\nprincipal = "alice"\nsha256 = "{DIGEST.upper()}"', "needs a sha256"),
        (f"[[token]]\n{GOOD}expires = 2031-01-01T00:00:00", "time with its zone"),
        (f"[[token]]\n{GOOD}expires = 2031-01-01", "time with its zone"),
        (f"[[token]]\n{GOOD}max_share = 0", "max_share above 0"),
        (f"[[token]]\n{GOOD}max_share = 1.5", "max_share above 0"),
        (f"[[token]]\n{GOOD}max_share = true", "max_share above 0"),
        (f"[[token]]\n{GOOD}[[token]]\n{GOOD}", "same sha256"),
        (
            f"[[token]]\n{GOOD}max_share = 0.5\n[[token]]\n" + GOOD.replace("ab", "cd"),
            "same max_share",
        ),
    ],
)
def test_a_file_that_is_not_of_its_form_is_refused(text: str, told: str) -> None:
    """The message names the entry; no hash is in it."""
    with pytest.raises(TokensRefused, match=told) as caught:
        parse_table(text)
    assert DIGEST not in str(caught.value)
