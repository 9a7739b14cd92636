"""The identity of a tokenizer, computed alike by every service that reads a model directory."""

import hashlib
from pathlib import Path

TOKENIZER_FILES = (
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
)


def tokenizer_fingerprint(model_dir: Path) -> str:
    """SHA-256 over the names and bytes of the tokenizer, template and special-token files.

    Returns:
        64 hexadecimal digits; equal where all files are equal.
    """
    digest = hashlib.sha256()
    for name in TOKENIZER_FILES:
        path = model_dir / name
        if path.is_file():
            data = path.read_bytes()
            digest.update(f"{name}:{len(data)}:".encode())
            digest.update(data)
    return digest.hexdigest()
