"""Reads the tokenizer's files of one model directory; runs none of them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steeple_rpc.lfs import is_pointer, pointers_told
from tokenizer_svc.errors import StartupError

# JSON values from files of the model's maker: any shape until checked.
Json = dict[str, Any]

_SPECIAL_NAMES = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerFiles:
    """What a model directory says about its tokenizer."""

    directory: Path
    spec: Json
    """tokenizer.json as it is."""
    special_names: dict[str, str]
    """bos_token and the like, as templates know them."""
    chat_template: str | None


def read_tokenizer_files(directory: Path) -> TokenizerFiles:
    """Read tokenizer.json, tokenizer_config.json and the chat template.

    Raises:
        StartupError: a file is missing or wrong, or needs code from the model's directory.
    """
    if not directory.is_dir():
        raise StartupError(f"no model directory at {directory}: pass --model NAME=DIR")
    config_path = directory / "tokenizer_config.json"
    config = _read_json(config_path)
    if "auto_map" in config:
        raise StartupError(
            f"{config_path}: auto_map asks for code from the model's directory, which is never"
            " run; use a model whose tokenizer.json stands alone"
        )
    return TokenizerFiles(
        directory=directory,
        spec=_read_json(directory / "tokenizer.json"),
        special_names=_special_names(config),
        chat_template=_chat_template(directory, config),
    )


def _read_json(path: Path) -> Json:
    if is_pointer(path):
        raise StartupError(pointers_told([path.name], path.parent))
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise StartupError(
            f"cannot read {path}: {error.strerror}; save the model with its fast tokenizer"
        ) from error
    except (ValueError, RecursionError) as error:
        raise StartupError(f"{path} is not JSON; download it again") from error
    if not isinstance(value, dict):
        raise StartupError(f"{path} is not a JSON object; download it again")
    return value


def _special_names(config: Json) -> dict[str, str]:
    """The names' contents; a token is a text or an object with its content."""
    found = {}
    for name in _SPECIAL_NAMES:
        value = config.get(name)
        content = value.get("content") if isinstance(value, dict) else value
        if isinstance(content, str):
            found[name] = content
    return found


def _chat_template(directory: Path, config: Json) -> str | None:
    path = directory / "chat_template.jinja"
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise StartupError(f"cannot read {path} as UTF-8 text") from error
    template = config.get("chat_template")
    if isinstance(template, list):
        named = {entry.get("name"): entry.get("template") for entry in template}
        template = named.get("default")
    if template is None or isinstance(template, str):
        return template
    raise StartupError(f"{directory}/tokenizer_config.json: chat_template is not a text")
