"""How words that must not appear are written in tokens. Pure: texts to encode in, sequences out.

A tokenizer writes a word differently at the start of a text, after a blank and right after another
character. What it writes inside of a text is seen behind an anchor that no word joins: a line
break. So one rule serves byte-level tokenizers, where the blank belongs to the word; those with a
metaspace, which mark the start of a text as if there were a blank; and those that spell in bytes
what they have no token for.
"""

from collections.abc import Sequence

from gateway.upstream_values import EncodeInput
from gateway.values import EncodedPrompt
from steeple_rpc.errors import InvalidRequest, ServiceError

MAX_TOKENS = 64
"""Of one way to write a word; the engine takes no more."""
_ANCHOR = "\n"
_FORMS = ("{word}", _ANCHOR + "{word}", _ANCHOR + " {word}")


def spellings(words: Sequence[str]) -> list[EncodeInput]:
    """The texts whose ids `sequences` wants to know, at most 1 + 3 per word.

    Args:
        words: none empty.
    """
    texts = [_ANCHOR, *(form.format(word=word) for word in words for form in _FORMS)]
    return [EncodeInput(text=text, add_special_tokens=False) for text in texts]


def sequences(
    words: Sequence[str], outcomes: Sequence[EncodedPrompt | ServiceError]
) -> tuple[tuple[int, ...], ...]:
    """Every way to write each of the words, each once, in a fixed order.

    Args:
        words: as for `spellings`.
        outcomes: what became of its texts, in order.

    Raises:
        ServiceError: a text could not be encoded.
        InvalidRequest: a word has no tokens, or a way to write it has too many.
    """
    anchor, *forms = [_ids(outcome) for outcome in outcomes]
    found: dict[tuple[int, ...], None] = {}
    for index, _ in enumerate(words):
        first, *others = forms[index * len(_FORMS) : (index + 1) * len(_FORMS)]
        # Where the anchor is no longer itself it has become part of the word's first token.
        behind = [ids[len(anchor) :] for ids in others if ids[: len(anchor)] == anchor]
        ways = dict.fromkeys(ids for ids in (first, *behind) if ids)
        _check(f"sampling.bad_words[{index}]", max(map(len, ways), default=0))
        found |= ways
    return tuple(found)


def _check(field: str, num_tokens: int) -> None:
    if not 0 < num_tokens <= MAX_TOKENS:
        raise InvalidRequest(
            f"{field} must have 1 to {MAX_TOKENS} tokens; it has {num_tokens}",
            reason="OUT_OF_RANGE",
            field=field,
        )


def _ids(outcome: EncodedPrompt | ServiceError) -> tuple[int, ...]:
    if isinstance(outcome, ServiceError):
        raise outcome
    return outcome.token_ids
