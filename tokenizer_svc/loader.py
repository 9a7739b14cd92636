"""Builds a loaded tokenizer from a model directory, and proves it before it serves."""

import json
from collections.abc import Callable
from pathlib import Path

from tokenizers import Tokenizer

from steeple_rpc.fingerprint import tokenizer_fingerprint
from tokenizer_svc.chat.encoder import ChatEncoder, Template
from tokenizer_svc.chat.special_text import SpecialText, spelling
from tokenizer_svc.chat.twin_tokenizer import twin_of, unknown_token
from tokenizer_svc.detokenize.byte_level import byte_alphabet
from tokenizer_svc.detokenize.decoder_config import decoder_family
from tokenizer_svc.detokenize.detokenizer import AnswerDecoder, Detokenizer
from tokenizer_svc.detokenize.vocabulary import Vocabulary
from tokenizer_svc.errors import StartupError
from tokenizer_svc.model_dir import TokenizerFiles, read_tokenizer_files
from tokenizer_svc.tokenizer import LoadedTokenizer, TextBounds, TokenizerInfo

CHECK_TEXT = "Hello, world! 2+2=4. Grüße, 你好, 🦊."
MakeTemplate = Callable[[str], Template]
"""Compiles a template; raises StartupError."""
_CHECK_BOUNDS = TextBounds(max_tokens=1024, template_cpu_s=1.0)


def load_tokenizer(model: str, directory: Path, make_template: MakeTemplate) -> LoadedTokenizer:
    """Load and check the tokenizer of one model.

    Args:
        model: its served name.
        directory: where tokenizer.json and tokenizer_config.json are.
        make_template: compiles its chat template, if it has one.

    Raises:
        StartupError: it cannot be served; the message names the file and the remedy.
    """
    files = read_tokenizer_files(directory)
    path = directory / "tokenizer.json"
    try:
        tokenizer = _library_tokenizer(files)
        loaded = _loaded(model, files, tokenizer, make_template)
    except StartupError as error:
        raise StartupError(f"{directory}: {error}") from error
    except (KeyError, TypeError, IndexError) as error:
        raise StartupError(f"{path} lacks or garbles a part: {error}") from error
    check_round_trip(loaded, path)
    return loaded


def check_round_trip(loaded: LoadedTokenizer, path: Path) -> None:
    """Prove that growing outputs decode as the library decodes whole ones.

    Raises:
        StartupError: they do not, so the files mean something that is not known here.
    """
    vocabulary = loaded.detokenizer.vocabulary
    sample = loaded.encode(CHECK_TEXT, _CHECK_BOUNDS, add_special_tokens=True).ids
    for skip in (True, False):
        decoder = AnswerDecoder(loaded.detokenizer, (), skip_special_tokens=skip)
        grown = "".join(map(decoder.push, sample)) + decoder.finish()
        if grown != loaded.decode(sample, skip_special_tokens=skip):
            raise StartupError(
                f"{path}: outputs of this tokenizer ({vocabulary.size} tokens) cannot be decoded"
                " step by step; its decoder is not one that this service knows"
            )


def _library_tokenizer(files: TokenizerFiles) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_str(json.dumps(files.spec))
    except Exception as error:
        # The library raises bare Exceptions.
        raise StartupError(f"tokenizer.json is not accepted: {error}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _loaded(
    model: str, files: TokenizerFiles, tokenizer: Tokenizer, make_template: MakeTemplate
) -> LoadedTokenizer:
    vocabulary = _vocabulary(tokenizer)
    family = decoder_family(files.spec.get("decoder"))
    info = TokenizerInfo(
        model=model,
        vocab_size=vocabulary.size,
        fingerprint=tokenizer_fingerprint(files.directory),
        has_chat_template=files.chat_template is not None,
        decoder=family.name,
    )
    chat = _chat_encoder(files, tokenizer, vocabulary, make_template)
    return LoadedTokenizer(info, tokenizer, Detokenizer(vocabulary, family), chat)


def _vocabulary(tokenizer: Tokenizer) -> Vocabulary:
    size = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1
    if size == 0:
        raise StartupError("tokenizer.json has no tokens")
    added = tokenizer.get_added_tokens_decoder()
    return Vocabulary(
        tokens=tuple(map(tokenizer.id_to_token, range(size))),
        special_ids=frozenset(place for place, token in added.items() if token.special),
    )


def _chat_encoder(
    files: TokenizerFiles,
    tokenizer: Tokenizer,
    vocabulary: Vocabulary,
    make_template: MakeTemplate,
) -> ChatEncoder | None:
    if files.chat_template is None:
        return None
    unknown = unknown_token(files.spec)
    spelled = {vocabulary.tokens[place]: place for place in vocabulary.special_ids}
    contents = [content for content in spelled if content and not _is_byte(content, files)]
    special_ids = {spelled[content] for content in contents if content != unknown}
    return ChatEncoder(
        make_template(files.chat_template),
        files.special_names,
        SpecialText(contents),
        plain=tokenizer,
        twin=twin_of(files.spec, {c: spelling(n) for n, c in enumerate(contents)}),
        special_ids=frozenset(special_ids),
    )


def _is_byte(content: str, files: TokenizerFiles) -> bool:
    """A special token may be a byte's own spelling: then it is ordinary text first of all."""
    decoder = files.spec.get("decoder") or {}
    return decoder.get("type") == "ByteLevel" and content in byte_alphabet()
