"""`steeple token new | list`: who may come in, by the file that the gateway reads."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from steeple_cli.conventions.ending import end
from steeple_cli.conventions.exits import USAGE_ERROR
from steeple_cli.conventions.help import Command, Group
from steeple_rpc.auth.token_file import read_table
from steeple_rpc.auth.token_table import (
    TokenRecord,
    TokenTable,
    digest_of,
    new_token,
    record_text,
)
from steeple_rpc.principal import MAX_NAME, Principal, is_name
from steeple_rpc.refused import SettingRefused

OWNER_ONLY = 0o600
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"([1-9]\d{0,6})([mhd])")

token = typer.Typer(
    cls=Group,
    help="Keep the file of those who may call the gateway.",
    no_args_is_help=True,
    add_completion=False,
)

File = Annotated[
    Path, typer.Option("--file", help="the gateway's --token-hashes", envvar="STEEPLE_TOKEN_HASHES")
]


@token.command(cls=Command)
def new(
    principal: Annotated[str, typer.Argument(help="whose token it is: the name for quotas, logs")],
    *,
    file: File,
    expires_in: Annotated[str | None, typer.Option(help="30d, 12h or 90m; default: never")] = None,
    max_share: Annotated[
        float | None, typer.Option(help="part of a model's places, above 0 to 1")
    ] = None,
) -> None:
    """Print a new token, once; only its hash is written to the file."""
    with _told_if_refused():
        made = new_token()
        record = TokenRecord(
            digest=digest_of(made),
            principal=_principal(principal, max_share),
            expires=None if expires_in is None else _expiry(expires_in),
        )
        _append(file, record)
    sys.stdout.write(made + "\n")


@token.command("list", cls=Command)
def list_tokens(*, file: File) -> None:
    """Print principal, expiry, share and the start of the hash of every token."""
    with _told_if_refused():
        table = read_table(file)
    now = datetime.now(UTC)
    for record in table.records:
        sys.stdout.write("\t".join(_row(record, now)) + "\n")


def _row(record: TokenRecord, now: datetime) -> tuple[str, str, str, str]:
    expires = "never" if record.expires is None else f"{record.expires:%Y-%m-%dT%H:%M:%S%z}"
    share = record.principal.max_share
    return (
        record.principal.name,
        f"{expires} (expired)" if record.is_expired(now) else expires,
        "default" if share is None else f"{share:g}",
        record.digest.hex()[:8],
    )


def _principal(name: str, max_share: float | None) -> Principal:
    if not is_name(name):
        raise SettingRefused(f"a principal has 1 to {MAX_NAME} printable characters")
    if max_share is not None and not 0 < max_share <= 1:
        raise SettingRefused(f"--max-share must be above 0 to 1; it is {max_share:g}")
    return Principal(name=name, max_share=max_share)


def _expiry(duration: str) -> datetime:
    parts = _DURATION.fullmatch(duration)
    if parts is None:
        raise SettingRefused("--expires-in must be a number and m, h or d, as in 30d")
    try:
        end = datetime.now(UTC) + timedelta(**{_UNITS[parts[2]]: int(parts[1])})
    except OverflowError:
        raise SettingRefused("--expires-in is beyond the year 9999") from None
    return end.replace(microsecond=0)


def _append(path: Path, record: TokenRecord) -> None:
    """Add the record, unless the file would no longer be a good one then."""
    known = read_table(path).records if path.exists() else ()
    TokenTable((*known, record))
    text = record_text(record)
    try:
        opened = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, OWNER_ONLY)
        with os.fdopen(opened, "ab", buffering=0) as file:
            # In one write: a gateway that reads meanwhile sees all of it or nothing. The line
            # that is there last may not have ended.
            file.write((f"\n{text}" if file.tell() else text).encode())
    except OSError as error:
        raise SettingRefused(f"token hashes {path}: {error.strerror}") from error


@contextmanager
def _told_if_refused() -> Iterator[None]:
    try:
        yield
    except SettingRefused as error:
        end(USAGE_ERROR, str(error))
