"""A tokenizer's identity: equal exactly where all of its files are."""

import hashlib
from pathlib import Path

import pytest

from steeple_rpc.fingerprint import TOKENIZER_FILES, tokenizer_fingerprint


@pytest.fixture
def model(tmp_path: Path) -> Path:
    for name in TOKENIZER_FILES:
        (tmp_path / name).write_text(f"content of {name}")
    return tmp_path


def test_a_fingerprint_is_64_hexadecimal_digits(model: Path) -> None:
    assert len(tokenizer_fingerprint(model)) == 64
    assert int(tokenizer_fingerprint(model), 16)


def test_the_same_files_elsewhere_have_the_same_fingerprint(model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name in TOKENIZER_FILES:
        (other / name).write_bytes((model / name).read_bytes())
    assert tokenizer_fingerprint(other) == tokenizer_fingerprint(model)


@pytest.mark.parametrize("name", TOKENIZER_FILES)
def test_every_file_counts(model: Path, name: str) -> None:
    before = tokenizer_fingerprint(model)
    (model / name).write_text("other content")
    changed = tokenizer_fingerprint(model)
    (model / name).unlink()
    assert len({before, changed, tokenizer_fingerprint(model)}) == 3


def test_weights_and_readme_do_not_count(model: Path) -> None:
    before = tokenizer_fingerprint(model)
    (model / "model.safetensors").write_text("x")
    (model / "README.md").write_text("x")
    assert tokenizer_fingerprint(model) == before


def test_bytes_that_move_from_one_file_to_the_next_are_noticed(tmp_path: Path) -> None:
    """Names and lengths are hashed too, not just all bytes in a row."""
    first, second = tmp_path / "1", tmp_path / "2"
    for folder, texts in ((first, ("ab", "c")), (second, ("a", "bc"))):
        folder.mkdir()
        for name, text in zip(TOKENIZER_FILES, texts, strict=False):
            (folder / name).write_text(text)
    assert tokenizer_fingerprint(first) != tokenizer_fingerprint(second)


def test_the_fingerprint_of_no_files_is_pinned(tmp_path: Path) -> None:
    """Two services of different versions must agree: a change of the rule turns this red."""
    assert tokenizer_fingerprint(tmp_path) == hashlib.sha256().hexdigest()
    (tmp_path / "tokenizer.json").write_text("{}")
    expected = hashlib.sha256(b"tokenizer.json:2:{}").hexdigest()
    assert tokenizer_fingerprint(tmp_path) == expected
