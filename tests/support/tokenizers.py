"""Small real tokenizers of every decoder family, trained where they are needed."""

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from tests.support.templates import in_process
from tokenizer_svc.loader import load_tokenizer
from tokenizer_svc.tokenizer import LoadedTokenizer

CORPUS = (
    "the quick brown fox jumps over the lazy dog",
    "hello world, hello there! what is 2+2? it is 4.",
    "don't do not say 's or 're or n't",
    "你好世界 今天天气很好",
    "مرحبا بالعالم",
    "Grüße aus Köln, ça va très bien",
    "👩‍👩‍👧‍👦 family 🦊 fox 🇩🇪 flag",
)
SPECIAL_TOKENS = ("<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>")
CHATML = (
    "{% for message in messages %}"
    "<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@functools.cache
def byte_level_json() -> str:
    """Byte-level BPE with a token that is outside of the byte alphabet."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS * 3, trainer)
    tokenizer.add_tokens([AddedToken("狐☃ tool", normalized=False), "Ġextra"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return str(tokenizer.to_str())


@functools.cache
def byte_fallback_json() -> str:
    """BPE of the Llama 2 kind: prepended mark, byte tokens, one stripped space."""
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    trainer = trainers.BpeTrainer(vocab_size=200, limit_alphabet=40, show_progress=False)
    trained.train_from_iterator(CORPUS * 3, trainer)
    spec: dict[str, Any] = json.loads(trained.to_str())
    tokens = [*SPECIAL_TOKENS, *byte_tokens, "▁", *spec["model"]["vocab"]]
    vocab = {token: place for place, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(
        models.BPE(
            vocab=vocab,
            merges=[tuple(pair) for pair in spec["model"]["merges"]],
            unk_token="<unk>",  # noqa: S106 - not a password
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    tokenizer.normalizer = trained.normalizer
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), _strip()]
    )
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return str(tokenizer.to_str())


@functools.cache
def metaspace_json() -> str:
    """Unigram with Metaspace, as T5 and XLM-RoBERTa have it; its vocabulary spells `</s>`."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=170,
        special_tokens=list(SPECIAL_TOKENS),
        unk_token="<unk>",  # noqa: S106 - not a password
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS * 3, trainer)
    return str(tokenizer.to_str())


@functools.cache
def wordpiece_json() -> str:
    """WordPiece as BERT has it, with the library's clean-up."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))  # noqa: S106 - not a password
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=220, special_tokens=list(SPECIAL_TOKENS), show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS * 3, trainer)
    tokenizer.add_tokens(["do not", " odd .", "' ve"])
    return str(tokenizer.to_str())


@functools.cache
def word_suffix_json() -> str:
    """BPE with a suffix at the ends of words, as the first GPT has it."""
    tokenizer = Tokenizer(
        models.BPE(unk_token="<unk>", end_of_word_suffix="</w>")  # noqa: S106 - not a password
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
    trainer = trainers.BpeTrainer(
        vocab_size=220,
        special_tokens=list(SPECIAL_TOKENS),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS * 3, trainer)
    tokenizer.add_tokens(["odd</w></w>ones</w>"])
    return str(tokenizer.to_str())


FAMILIES = {
    "byte_level": byte_level_json,
    "byte_fallback": byte_fallback_json,
    "metaspace": metaspace_json,
    "wordpiece": wordpiece_json,
    "word_suffix": word_suffix_json,
}


@functools.cache
def loaded_family(name: str) -> LoadedTokenizer:
    """The tokenizer of one family, loaded as the service loads it."""
    with tempfile.TemporaryDirectory() as directory:
        return load_tokenizer(name, write_model(Path(directory), FAMILIES[name]()), in_process)


def write_model(
    directory: Path, spec: str | None = None, *, chat_template: str | None = CHATML
) -> Path:
    """Write a model directory that has only a tokenizer; returns it.

    Args:
        directory: made if it is not there.
        spec: tokenizer.json; default: byte-level BPE.
        chat_template: goes into tokenizer_config.json.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "tokenizer.json").write_text(spec or byte_level_json(), encoding="utf-8")
    config = {"bos_token": "<s>", "eos_token": {"content": "</s>", "special": True}}
    if chat_template is not None:
        config["chat_template"] = chat_template
    text = json.dumps(config)
    (directory / "tokenizer_config.json").write_text(text, encoding="utf-8")
    return directory


def _strip() -> decoders.Strip:
    return decoders.Strip(content=" ", left=1, right=0)
