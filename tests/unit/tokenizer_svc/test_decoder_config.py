"""Which decoders of tokenizer.json are taken, and which are refused by name."""

from typing import Any

import pytest

from tokenizer_svc.detokenize.byte_fallback import ByteFallbackFamily
from tokenizer_svc.detokenize.decoder_config import decoder_family
from tokenizer_svc.errors import StartupError

REPLACE = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
BYTES = {"type": "ByteFallback"}
FUSE = {"type": "Fuse"}
STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}


def sequence(*stages: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "decoders": list(stages)}


@pytest.mark.parametrize(
    ("decoder", "name"),
    [
        ({"type": "ByteLevel"}, "byte_level"),
        (sequence({"type": "ByteLevel"}), "byte_level"),
        ({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"}, "sentencepiece"),
        ({"type": "WordPiece", "prefix": "##", "cleanup": False}, "wordpiece"),
        ({"type": "BPEDecoder", "suffix": "</w>"}, "wordpiece"),
        (sequence(REPLACE, BYTES, FUSE, STRIP), "sentencepiece"),
        (sequence(REPLACE, BYTES, FUSE), "sentencepiece"),
        (sequence(sequence(REPLACE), BYTES), "sentencepiece"),
    ],
)
def test_known_decoders_have_a_family(decoder: dict[str, Any], name: str) -> None:
    assert decoder_family(decoder).name == name


@pytest.mark.parametrize(
    "decoder",
    [
        None,
        {"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": True},
        {"type": "BPEDecoder", "suffix": ""},
        sequence(),
        sequence(REPLACE, BYTES, STRIP),
        sequence(REPLACE, BYTES, FUSE, {**STRIP, "stop": 1}),
        sequence(FUSE, REPLACE),
        sequence({**REPLACE, "pattern": {"Regex": "▁+"}}, FUSE),
        sequence({"type": "ByteLevel"}, {"type": "WordPiece", "prefix": "##", "cleanup": True}),
    ],
)
def test_other_decoders_are_refused_by_name(decoder: dict[str, Any] | None) -> None:
    with pytest.raises(StartupError, match=r"^the decoder is "):
        decoder_family(decoder)


def test_a_token_shorter_than_the_strip_is_no_anchor() -> None:
    """A longer strip could reach beyond it."""
    family = ByteFallbackFamily(
        replacements=(("▁", " "),), has_byte_tokens=True, strip_char=" ", max_stripped=2
    )
    assert [family.is_anchor(token) for token in ("▁", "▁▁", "a", "<0x41>", "")] == [
        False,
        True,
        True,
        False,
        False,
    ]
