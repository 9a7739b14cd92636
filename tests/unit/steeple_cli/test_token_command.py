"""`steeple token`: a token is shown once, and the file never has it."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from steeple_cli.app import app
from steeple_rpc.auth.token_file import read_table
from steeple_rpc.auth.token_table import TOKEN_PREFIX
from steeple_rpc.principal import Principal


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens.toml"


def token(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["token", *arguments])


def test_a_new_token_is_printed_once_and_kept_as_a_hash(file: Path) -> None:
    """A file that only its owner may read or write, and the token on stdout alone."""
    made = token("new", "alice", f"--file={file}")
    assert (made.exit_code, made.stderr) == (0, "")
    printed = made.stdout.removesuffix("\n")
    assert printed.startswith(TOKEN_PREFIX)
    assert printed.removeprefix(TOKEN_PREFIX) not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    record = read_table(file).find(printed)
    assert record is not None
    assert (record.principal, record.expires) == (Principal(name="alice"), None)


@pytest.mark.parametrize(
    ("given", "length"),
    [("30d", timedelta(days=30)), ("12h", timedelta(hours=12)), ("90m", timedelta(minutes=90))],
)
def test_expiry_and_share_are_kept(file: Path, given: str, length: timedelta) -> None:
    before = datetime.now(UTC)
    made = token("new", "alice", f"--file={file}", f"--expires-in={given}", "--max-share=0.25")
    record = read_table(file).find(made.stdout.strip())
    assert record is not None
    assert record.principal.max_share == 0.25
    assert record.expires is not None
    assert abs(record.expires - before - length) < timedelta(minutes=1)


def test_tokens_gather_in_the_file_and_are_listed_without_their_secret(file: Path) -> None:
    """Also after somebody's own comments, and one principal may have several."""
    file.write_text("# ours")
    made = [token("new", name, f"--file={file}").stdout.strip() for name in ("a", "b", "a")]
    table = read_table(file)
    assert [record.principal.name for record in table.records] == ["a", "b", "a"]
    assert all(table.find(each) is not None for each in made)
    listed = token("list", f"--file={file}")
    rows = [line.split("\t") for line in listed.stdout.splitlines()]
    assert [row[:3] for row in rows] == [[name, "never", "default"] for name in "aba"]
    assert not any(each in listed.stdout for each in made)


def test_an_expired_token_is_listed_as_such(file: Path) -> None:
    file.write_text(
        f'[[token]]\nprincipal = "a"\nsha256 = "{"0" * 64}"\nexpires = 2001-01-01T00:00:00Z\n'
    )
    assert "2001-01-01T00:00:00+0000 (expired)" in token("list", f"--file={file}").stdout


@pytest.mark.parametrize(
    "options",
    [
        ["new", "", "--file={file}"],
        ["new", "a\nb", "--file={file}"],
        ["new", "a", "--file={file}", "--expires-in=soon"],
        ["new", "a", "--file={file}", "--expires-in=0d"],
        ["new", "a", "--file={file}", "--expires-in=9999999d"],
        ["new", "a", "--file={file}", "--max-share=0"],
        ["new", "a", "--file={file}", "--max-share=2"],
        ["new", "a", "--file={file}/nowhere"],
        ["list", "--file={file}"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_done_ends_2_in_one_line_and_writes_nothing(
    file: Path, options: list[str]
) -> None:
    result = token(*(option.format(file=file) for option in options))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert not file.exists()


def test_a_broken_file_is_left_alone(file: Path) -> None:
    for text in ("[[token", '[[token]]\nprincipal = "a"\n'):
        file.write_text(text)
        assert token("new", "b", f"--file={file}").exit_code == 2
        assert file.read_text() == text


def test_another_share_for_the_same_principal_is_refused(file: Path) -> None:
    """A principal has one share, whatever token it shows."""
    token("new", "a", f"--file={file}", "--max-share=0.5")
    kept = file.read_text()
    assert token("new", "a", f"--file={file}", "--max-share=0.6").exit_code == 2
    assert file.read_text() == kept
