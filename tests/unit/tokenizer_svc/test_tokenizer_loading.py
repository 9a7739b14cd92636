"""Model directories: what is read, what is refused, and in which words."""

import json
from pathlib import Path
from typing import Any

import pytest

from steeple_rpc.fingerprint import tokenizer_fingerprint
from tests.support.lfs_pointer import LFS_POINTER
from tests.support.templates import in_process
from tests.support.tokenizers import byte_level_json, loaded_family, write_model
from tokenizer_svc.errors import StartupError
from tokenizer_svc.loader import load_tokenizer
from tokenizer_svc.model_dir import read_tokenizer_files
from tokenizer_svc.tokenizer import TextBounds


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_model(tmp_path / "m")


def change_config(directory: Path, **changes: Any) -> None:
    """Change fields of tokenizer_config.json."""
    path = directory / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_loaded_tokenizer_tells_what_it_is(directory: Path) -> None:
    """The fingerprint is the one that the engine computes."""
    info = load_tokenizer("served", directory, in_process).info
    assert info.model == "served"
    assert info.fingerprint == tokenizer_fingerprint(directory)
    assert info.has_chat_template
    assert info.decoder == "byte_level"
    assert info.vocab_size == loaded_family("byte_level").detokenizer.vocabulary.size


def test_special_tokens_may_be_texts_or_objects(directory: Path) -> None:
    """Others are no template variables."""
    change_config(directory, pad_token=None, model_max_length=1, unk_token={"content": "<unk>"})
    names = read_tokenizer_files(directory).special_names
    assert names == {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def test_a_template_file_wins(directory: Path) -> None:
    """Over the one in tokenizer_config.json."""
    (directory / "chat_template.jinja").write_text("from the file")
    assert read_tokenizer_files(directory).chat_template == "from the file"


def test_of_named_templates_the_default_is_taken(directory: Path) -> None:
    named = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]
    change_config(directory, chat_template=named)
    assert read_tokenizer_files(directory).chat_template == "d"


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", [None, b"", b"[]", b"\xff{", b"[" * 100_000])
def test_a_missing_or_garbled_file_is_named(
    directory: Path, name: str, content: bytes | None
) -> None:
    (directory / name).unlink()
    if content is not None:
        (directory / name).write_bytes(content)
    with pytest.raises(StartupError, match=f"{directory / name}"):
        load_tokenizer("m", directory, in_process)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"no model directory at .*nowhere.*--model"):
        load_tokenizer("m", tmp_path / "nowhere", in_process)


def test_code_from_the_directory_is_refused(directory: Path) -> None:
    """auto_map is what asks for it."""
    change_config(directory, auto_map={"AutoTokenizer": ["evil.Tokenizer", None]})
    with pytest.raises(StartupError, match="auto_map"):
        load_tokenizer("m", directory, in_process)


def test_an_unknown_decoder_is_refused_with_the_directory(directory: Path) -> None:
    spec = {**json.loads(byte_level_json()), "decoder": None}
    (directory / "tokenizer.json").write_text(json.dumps(spec))
    with pytest.raises(StartupError, match=f"{directory}: the decoder is none"):
        load_tokenizer("m", directory, in_process)


def test_a_tokenizer_that_the_library_refuses_is_refused(directory: Path) -> None:
    spec = {**json.loads(byte_level_json()), "model": {"type": "Nonsense"}}
    (directory / "tokenizer.json").write_text(json.dumps(spec))
    with pytest.raises(StartupError, match=r"tokenizer\.json is not accepted"):
        load_tokenizer("m", directory, in_process)


def test_a_broken_template_is_refused_when_loaded(directory: Path) -> None:
    (directory / "chat_template.jinja").write_text("{% if %}")
    with pytest.raises(StartupError, match="the chat template is invalid"):
        load_tokenizer("m", directory, in_process)


def test_padding_and_truncation_of_the_file_are_off(directory: Path) -> None:
    """They are for training; a prompt is taken as it is."""
    spec = json.loads(byte_level_json())
    spec["truncation"] = {
        "direction": "Right",
        "max_length": 4,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    (directory / "tokenizer.json").write_text(json.dumps(spec))
    loaded = load_tokenizer("m", directory, in_process)
    text = "hello there, hello world"
    ids = loaded.encode(
        text, TextBounds(max_tokens=100, template_cpu_s=1.0), add_special_tokens=False
    ).ids
    assert loaded.decode(ids, skip_special_tokens=True) == text


def test_a_file_that_git_lfs_has_not_fetched_is_named(directory: Path) -> None:
    """It is text, and would only be no JSON."""
    (directory / "tokenizer.json").write_text(LFS_POINTER)
    with pytest.raises(StartupError, match=r"^tokenizer\.json in .* stands for .* lfs pull`$"):
        read_tokenizer_files(directory)
