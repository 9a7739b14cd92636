"""Build the tokenizer of the demo model.

Byte-level BPE, so that any text round-trips; every digit stays a token of its own,
because a number that is spelled digit by digit can be added digit by digit.
"""

import json
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from steeple_demo.chat_format import CHAT_TEMPLATE, END_OF_TEXT, PAD, SPECIAL_TOKENS
from steeple_demo.corpus import conversations

__all__ = ["MAX_LEN", "VOCAB_SIZE", "build_tokenizer", "save_tokenizer"]

VOCAB_SIZE: Final = 448
MAX_LEN: Final = 1024
_NUM_CONVERSATIONS: Final = 20_000
_CORPUS_SEED: Final = 0


def build_tokenizer() -> Tokenizer:
    """Train the tokenizer; it has exactly `VOCAB_SIZE` tokens and is always the same."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, *, directory: Path) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json`, the latter with the template."""
    tokenizer.save(str(directory / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": None,
        "eos_token": END_OF_TEXT,
        "pad_token": PAD,
        "clean_up_tokenization_spaces": False,
        "model_max_length": MAX_LEN,
        "chat_template": CHAT_TEMPLATE,
    }
    text = json.dumps(settings, indent=2) + "\n"
    (directory / "tokenizer_config.json").write_text(text, encoding="utf-8")


def _texts() -> Iterator[str]:
    rng = random.Random(_CORPUS_SEED)  # noqa: S311 - it draws text, no secret
    for conversation in islice(conversations(rng), _NUM_CONVERSATIONS):
        yield from ("system", "user", "assistant")
        yield conversation.system or ""
        for turn in conversation.turns:
            yield turn.question
            yield turn.answer
