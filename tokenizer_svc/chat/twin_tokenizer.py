"""A tokenizer's twin: the same ids, but its special tokens have spellings that no text contains.

To the twin the usual spelling of a special token is plain text. It is a second copy of the
vocabulary in memory: the price for reading any text in its full context.
"""

import json
from collections.abc import Mapping
from typing import Any

from tokenizers import Tokenizer

# tokenizer.json: any shape until the library has checked it.
Json = dict[str, Any]


def twin_of(spec: Json, spellings: Mapping[str, str]) -> Tokenizer:
    """Build the twin.

    Args:
        spec: a tokenizer.json that the library accepts.
        spellings: the new spelling of every special token, by the usual one.
    """
    twin = {
        **spec,
        "added_tokens": [_respelled_token(token, spellings) for token in spec["added_tokens"]],
        "model": _respelled_model(spec["model"], spellings),
        # It adds special tokens by name; chats are encoded without it.
        "post_processor": None,
        "padding": None,
        "truncation": None,
    }
    return Tokenizer.from_str(json.dumps(twin))


def unknown_token(spec: Json) -> str | None:
    """The token that stands for what the model cannot spell."""
    model = spec["model"]
    place = model.get("unk_id")
    if isinstance(model["vocab"], list):
        return None if place is None else str(model["vocab"][place][0])
    token = model.get("unk_token")
    return None if token is None else str(token)


def _respelled_token(token: Json, spellings: Mapping[str, str]) -> Json:
    content = spellings.get(token["content"])
    # Normalized spellings are looked for in normalized text: ours are found in the text itself.
    return token if content is None else {**token, "content": content, "normalized": False}


def _respelled_model(model: Json, spellings: Mapping[str, str]) -> Json:
    changed = {**model, "vocab": _respelled_vocab(model["vocab"], spellings)}
    if "unk_token" in model:
        changed["unk_token"] = spellings.get(model["unk_token"], model["unk_token"])
    if "merges" in model:
        changed["merges"] = [pair for pair in model["merges"] if _merged(pair) not in spellings]
    return changed


def _respelled_vocab(vocab: Any, spellings: Mapping[str, str]) -> Any:
    """A vocabulary is a list of pieces with scores, or ids by token."""
    if isinstance(vocab, list):
        return [[spellings.get(piece, piece), score] for piece, score in vocab]
    return {spellings.get(token, token): token_id for token, token_id in vocab.items()}


def _merged(pair: str | list[str]) -> str:
    return pair.replace(" ", "", 1) if isinstance(pair, str) else "".join(pair)
