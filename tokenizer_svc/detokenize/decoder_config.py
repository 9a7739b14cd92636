"""Reads the `decoder` part of tokenizer.json: the family that decodes it exactly, or a refusal."""

from collections.abc import Mapping, Sequence
from typing import Any

from tokenizer_svc.detokenize.byte_fallback import ByteFallbackFamily
from tokenizer_svc.detokenize.byte_level import ByteLevelFamily
from tokenizer_svc.detokenize.detokenizer import DecoderFamily
from tokenizer_svc.detokenize.word_tokens import MetaspaceFamily, WordPieceFamily, WordSuffixFamily
from tokenizer_svc.errors import StartupError

# JSON values from files of the model's maker: any shape until checked.
Json = Mapping[str, Any]


def decoder_family(decoder: Json | None) -> DecoderFamily:
    """The family of a tokenizer's decoder.

    Args:
        decoder: the `decoder` object of tokenizer.json.

    Raises:
        StartupError: this configuration cannot be decoded exactly while it grows.
    """
    stages = _stages(decoder)
    match [stage["type"] for stage in stages]:
        case ["ByteLevel"]:
            return ByteLevelFamily()
        case ["Metaspace"]:
            return _metaspace(stages[0])
        case ["WordPiece"]:
            return WordPieceFamily(prefix=stages[0]["prefix"], cleanup=stages[0]["cleanup"])
        case ["BPEDecoder"] if stages[0]["suffix"]:
            return WordSuffixFamily(suffix=stages[0]["suffix"])
    return _byte_fallback(stages)


def _stages(decoder: Json | None) -> list[Json]:
    """The decoder as a flat sequence."""
    if decoder is None:
        return []
    if decoder["type"] == "Sequence":
        return [stage for part in decoder["decoders"] for stage in _stages(part)]
    return [decoder]


def _metaspace(stage: Json) -> MetaspaceFamily:
    return MetaspaceFamily(
        mark=stage["replacement"],
        is_first_stripped=stage.get("prepend_scheme", "always") != "never",
    )


def _byte_fallback(stages: Sequence[Json]) -> ByteFallbackFamily:
    """Replace*, ByteFallback?, Fuse?, Strip? at the start: what SentencePiece models convert to."""
    rest = list(stages)
    replacements = []
    while rest and rest[0]["type"] == "Replace":
        replacements.append(_replacement(rest.pop(0), stages))
    has_byte_tokens = _take(rest, "ByteFallback") is not None
    is_fused = _take(rest, "Fuse") is not None
    strip = _take(rest, "Strip") if is_fused else None
    if rest or not (replacements or has_byte_tokens or is_fused):
        raise _refusal(stages)
    if strip is None:
        return ByteFallbackFamily(replacements=tuple(replacements), has_byte_tokens=has_byte_tokens)
    if strip["stop"] != 0:
        raise _refusal(stages)
    return ByteFallbackFamily(
        replacements=tuple(replacements),
        has_byte_tokens=has_byte_tokens,
        strip_char=strip["content"],
        max_stripped=strip["start"],
    )


def _take(stages: list[Json], kind: str) -> Json | None:
    return stages.pop(0) if stages and stages[0]["type"] == kind else None


def _replacement(stage: Json, stages: Sequence[Json]) -> tuple[str, str]:
    what = stage["pattern"].get("String")
    if not what:
        raise _refusal(stages)
    return what, stage["content"]


def _refusal(stages: Sequence[Json]) -> StartupError:
    told = " + ".join(stage["type"] for stage in stages) or "none"
    return StartupError(
        f"the decoder is {told}; known are ByteLevel, Metaspace, WordPiece, BPEDecoder, and"
        " Replace + ByteFallback + Fuse + Strip at the start: convert the tokenizer to one of them"
    )
