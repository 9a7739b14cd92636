"""The token file: read again when it changes, kept when the new one is broken."""

import asyncio
import os
from pathlib import Path

import pytest
import structlog

from steeple_rpc.auth.token_file import TokenFile
from steeple_rpc.auth.token_table import TokenRecord, TokensRefused, digest_of, record_text
from steeple_rpc.principal import Principal
from tests.support.waiting import LIMIT_S


def text_for(*tokens: str) -> str:
    return "\n".join(
        record_text(
            TokenRecord(digest=digest_of(t), principal=Principal(name="alice"), expires=None)
        )
        for t in tokens
    )


def replace(path: Path, text: str) -> None:
    """As careful tools do it: a new file with the old name."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "tokens.toml"
    path.write_text(text_for("first"))
    return path


def test_a_changed_file_is_read_again(path: Path) -> None:
    file = TokenFile(path)
    replace(path, text_for("second"))
    file.refresh()
    assert file.table.find("first") is None
    assert file.table.find("second") is not None


def test_a_file_written_in_place_is_read_again(path: Path) -> None:
    file = TokenFile(path)
    path.write_text(text_for("first", "second"))
    file.refresh()
    assert file.table.find("second") is not None


DEEP = "a=" + "[" * 5000
LONG_NUMBER = "a=" + "1" * 5000


@pytest.mark.parametrize(
    "broken",
    ["[[token", "\x00", DEEP, LONG_NUMBER, None],
    ids=["cut", "binary", "deep", "long number", "lost"],
)
def test_a_broken_or_lost_file_keeps_the_table_and_is_told_once(
    path: Path, broken: str | None
) -> None:
    """One error line however often it is looked at, naming the file; mended, it is read."""
    file = TokenFile(path)
    if broken is None:
        path.unlink()
    else:
        replace(path, broken)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            file.refresh()
    assert file.table.find("first") is not None
    (line,) = logs
    assert (line["event"], line["log_level"]) == ("tokens_kept", "error")
    assert str(path) in line["detail"]
    replace(path, text_for("third"))
    file.refresh()
    assert file.table.find("third") is not None


def test_an_emptied_file_shuts_everybody_out(path: Path) -> None:
    file = TokenFile(path)
    path.write_text("")
    file.refresh()
    assert file.table.records == ()


async def test_following_keeps_the_table_true(path: Path) -> None:
    """Without anybody asking for it."""
    file = TokenFile(path, period_s=0.001)
    following = asyncio.create_task(file.follow())
    try:
        replace(path, text_for("second"))
        async with asyncio.timeout(LIMIT_S):
            while file.table.find("second") is None:  # noqa: ASYNC110 - there is no event to await
                await asyncio.sleep(0.001)
    finally:
        following.cancel()


def test_a_start_with_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """Missing, too large, not text, not of its form: the file is named each time."""
    cases = {
        "missing": None,
        "large": b"#" * ((4 << 20) + 1),
        "binary": b"\xff\xfe",
        "broken": b"[[token",
        "deep": DEEP.encode(),
        "long": LONG_NUMBER.encode(),
    }
    for name, data in cases.items():
        path = tmp_path / name
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(TokensRefused, match=str(path)):
            TokenFile(path)
    if os.geteuid() != 0:
        path.chmod(0)
        with pytest.raises(TokensRefused, match="Permission denied"):
            TokenFile(path)
