"""Growing outputs decode exactly as the tokenizers library decodes whole sequences."""

import codecs
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tokenizers import FAMILIES, loaded_family
from tokenizer_svc.detokenize.byte_level import ByteLevelDecoder, byte_alphabet
from tokenizer_svc.detokenize.detokenizer import AnswerDecoder
from tokenizer_svc.detokenize.session import Session
from tokenizer_svc.detokenize.session_values import SessionOptions
from tokenizer_svc.tokenizer import LoadedTokenizer, TextBounds

families = pytest.mark.parametrize("family", sorted(FAMILIES))
# Shared cores: a deadline per example would measure the neighbours.
BOUNDS = TextBounds(max_tokens=4096, template_cpu_s=1.0)
TEXTS = (
    "👩‍👩‍👧‍👦 and 🦊🇩🇪",
    "你好 世界。今天",
    "مرحبا بالعالم",
    " two  spaces , don't do not ' s",
    "</s>a<|im_end|>",
    "e\u0301\u200d\ufffd",
)


@pytest.fixture(scope="module", autouse=True)
def trained() -> None:
    """Train all tokenizers before examples are drawn and timed."""
    for family in FAMILIES:
        loaded_family(family)


@st.composite
def id_lists(draw: st.DrawFn, family: str) -> list[int]:
    """Ids that no text has, ids and single bytes of difficult texts, cut and joined anywhere."""
    tokenizer = loaded_family(family)
    last = tokenizer.info.vocab_size - 1
    ids: list[int] = []
    for _ in range(draw(st.integers(0, 4))):
        text = draw(st.sampled_from(TEXTS) | st.text(max_size=6))
        kinds = (
            draw(st.lists(st.integers(0, last), max_size=6)),
            tokenizer.encode(text, BOUNDS, add_special_tokens=False).ids,
            byte_ids(family, text),
        )
        ids += draw(st.sampled_from(kinds))[draw(st.integers(0, 3)) :][: draw(st.integers(0, 12))]
    return ids


def byte_ids(family: str, text: str) -> list[int]:
    """One id per byte, where the family has such tokens."""
    spelled = {byte: char for char, byte in byte_alphabet().items()}
    tokens = loaded_family(family).detokenizer.vocabulary.tokens
    names = {
        "byte_level": [spelled[byte] for byte in text.encode()],
        "byte_fallback": [f"<0x{byte:02X}>" for byte in text.encode()],
    }
    return [tokens.index(name) for name in names.get(family, ())]


@st.composite
def chunkings(draw: st.DrawFn, ids: Sequence[int]) -> list[list[int]]:
    """The same ids in pieces, some of them empty."""
    cuts = sorted(draw(st.lists(st.integers(0, len(ids)), max_size=5)))
    return [list(ids[a:b]) for a, b in zip([0, *cuts], [*cuts, len(ids)], strict=True)]


def answer(tokenizer: LoadedTokenizer, prompt: list[int], output: list[int], *, skip: bool) -> str:
    """What the contract says the answer is, by the library's own decoder."""
    whole = tokenizer.decode(prompt + output, skip_special_tokens=skip)
    alone = tokenizer.decode(prompt, skip_special_tokens=skip)
    return whole[num_shared(whole, alone) :]


def num_shared(first: str, second: str) -> int:
    """Length of the longest common prefix."""
    length = min(len(first), len(second))
    return next((n for n in range(length) if first[n] != second[n]), length)


@families
@given(data=st.data(), skip=st.booleans())
def test_a_grown_answer_equals_the_whole_one(
    family: str, data: st.DataObject, *, skip: bool
) -> None:
    """From the stable tail or any earlier point, the text is decode(all) - decode(prompt)."""
    tokenizer = loaded_family(family)
    prompt, output = data.draw(id_lists(family)), data.draw(id_lists(family))
    start = data.draw(st.integers(0, tokenizer.detokenizer.tail_start(prompt)))
    decoder = AnswerDecoder(tokenizer.detokenizer, prompt[start:], skip_special_tokens=skip)
    grown = "".join(decoder.push(token_id) for token_id in output) + decoder.finish()
    assert grown == answer(tokenizer, prompt, output, skip=skip)


@families
@given(data=st.data(), skip=st.booleans())
def test_what_was_told_never_changes(family: str, data: st.DataObject, *, skip: bool) -> None:
    """After every id, the text told is a prefix of what any continuation decodes to."""
    tokenizer = loaded_family(family)
    output, more = data.draw(id_lists(family)), data.draw(id_lists(family))
    decoder = AnswerDecoder(tokenizer.detokenizer, (), skip_special_tokens=skip)
    told = "".join(decoder.push(token_id) for token_id in output)
    for continuation in ([], more):
        whole = tokenizer.decode(output + continuation, skip_special_tokens=skip)
        assert whole.startswith(told)
    if decoder.is_settled:
        assert told == tokenizer.decode(output, skip_special_tokens=skip)


@families
@given(data=st.data(), min_tokens=st.integers(0, 6))
def test_chunks_change_nothing(family: str, data: st.DataObject, min_tokens: int) -> None:
    """However ids are chunked: the same text, the same ids consumed, the same stop."""
    tokenizer = loaded_family(family)
    prompt, output = data.draw(id_lists(family)), data.draw(id_lists(family))
    text = tokenizer.decode(output, skip_special_tokens=True)
    options = SessionOptions(
        stops=tuple(data.draw(stops_in(text))),
        min_tokens=min_tokens,
        include_stop_in_output=data.draw(st.booleans()),
        token_texts=True,
    )
    outcomes = [
        run_session(tokenizer, options, prompt, chunks)
        for chunks in (data.draw(chunkings(output)), [[i] for i in output], [output])
    ]
    assert outcomes[0] == outcomes[1] == outcomes[2]


@families
@given(data=st.data())
def test_a_later_session_goes_on_where_the_earlier_was(family: str, data: st.DataObject) -> None:
    """Prior ids leave the state, and the ids consumed, of a session that was pushed them."""
    tokenizer = loaded_family(family)
    prompt, output = data.draw(id_lists(family)), data.draw(id_lists(family))
    stops = tuple(data.draw(stops_in(tokenizer.decode(output, skip_special_tokens=True))))
    options = SessionOptions(stops=stops)
    cut = data.draw(st.integers(0, len(output)))
    first = Session(tokenizer.detokenizer, options, prompt_tail_ids=prompt)
    told = first.push(output[:cut], first_position=0, is_final=False)
    second = Session(
        tokenizer.detokenizer,
        options,
        prompt_tail_ids=prompt,
        prior_output_ids=output[:cut],
    )
    if told is not None and told.is_over:
        match = second.prior_match()
        assert match is not None
        assert (match.matched_stop, match.ids_consumed) == (told.matched_stop, told.ids_consumed)
    else:
        assert second.prior_match() is None
        rest = output[cut:]
        assert first.push(rest, first_position=cut, is_final=True) == second.push(
            rest, first_position=cut, is_final=True
        )


@given(data=st.lists(st.binary(max_size=5), max_size=6))
def test_bytes_decode_as_rust_decodes_them(data: list[bytes]) -> None:
    """The incremental decoder replaces exactly what the library's lossy one replaces."""
    spelled = {byte: char for char, byte in byte_alphabet().items()}
    tokens = ["".join(spelled[byte] for byte in chunk) for chunk in data]
    tokenizer = loaded_family("byte_level")
    ids = [tokenizer.detokenizer.vocabulary.tokens.index(char) for char in "".join(tokens)]
    decoder = ByteLevelDecoder()
    grown = "".join(map(decoder.push, tokens)) + decoder.pending()
    assert grown == tokenizer.decode(ids, skip_special_tokens=True)
    assert grown == codecs.decode(b"".join(data), "utf-8", "replace")


@st.composite
def stops_in(draw: st.DrawFn, text: str) -> list[str]:
    """Stop strings, most of which occur in the text."""
    stops = draw(st.lists(st.text(min_size=1, max_size=3), max_size=2))
    for _ in range(draw(st.integers(0, 3)) if text else 0):
        start = draw(st.integers(0, len(text) - 1))
        stops.append(text[start : start + draw(st.integers(1, 6))])
    return stops


def run_session(
    tokenizer: LoadedTokenizer,
    options: SessionOptions,
    prompt: list[int],
    chunks: Sequence[list[int]],
) -> tuple[str, int, str | None, list[int]]:
    """The joined text, ids consumed, stop, and ids told, of one session."""
    session = Session(tokenizer.detokenizer, options, prompt_tail_ids=prompt)
    text, consumed, told, position = "", 0, [], 0
    for place, chunk in enumerate(chunks):
        is_final = place == len(chunks) - 1
        progress = session.push(chunk, first_position=position, is_final=is_final)
        position += len(chunk)
        if progress is None:
            continue
        assert progress.ids_consumed >= consumed
        text, consumed = text + progress.text, progress.ids_consumed
        told += [token.id for token in progress.tokens]
        if progress.matched_stop is not None:
            return text, consumed, progress.matched_stop, told
    return text, consumed, None, told
