"""One session: held-back text, counts, stops, and faults."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from steeple_rpc.errors import InvalidRequest
from tests.support.tokenizers import loaded_family
from tokenizer_svc.detokenize.detokenizer import DecoderFamily, Detokenizer, TokenDecoder
from tokenizer_svc.detokenize.session import Session
from tokenizer_svc.detokenize.session_values import MAX_ASIDE_IDS, Progress, SessionOptions
from tokenizer_svc.tokenizer import TextBounds

BOUNDS = TextBounds(max_tokens=4096, template_cpu_s=1.0)
TOKENIZER = "byte_level"


def ids_of(text: str) -> list[int]:
    """One id per byte: no merges."""
    spelled = loaded_family(TOKENIZER).detokenizer.vocabulary.tokens
    encoded = [
        loaded_family(TOKENIZER).encode(char, BOUNDS, add_special_tokens=False).ids for char in text
    ]
    assert all(spelled[i] is not None for ids in encoded for i in ids)
    return [i for ids in encoded for i in ids]


def opened(
    options: SessionOptions | None = None,
    *,
    prompt_tail_ids: Sequence[int] = (),
    prior_output_ids: Sequence[int] = (),
) -> Session:
    """A session of the byte-level tokenizer."""
    return Session(
        loaded_family(TOKENIZER).detokenizer,
        options or SessionOptions(),
        prompt_tail_ids=prompt_tail_ids,
        prior_output_ids=prior_output_ids,
    )


def pushed(session: Session, ids: list[int], at: int, *, is_final: bool = False) -> Progress:
    """A push that must have something to tell."""
    progress = session.push(ids, first_position=at, is_final=is_final)
    assert progress is not None
    return progress


@dataclass(frozen=True)
class CountingFamily:
    """A decoder family that keeps every token that its decoders are given."""

    family: DecoderFamily
    seen: list[str] = field(default_factory=list)
    name: str = "counting"

    def start(self) -> "CountingDecoder":
        return CountingDecoder(self.family.start(), self.seen)

    def is_anchor(self, token: str) -> bool:
        return self.family.is_anchor(token)


@dataclass
class CountingDecoder:
    decoder: TokenDecoder
    seen: list[str]

    @property
    def is_settled(self) -> bool:
        return self.decoder.is_settled

    def push(self, token: str) -> str:
        self.seen.append(token)
        return self.decoder.push(token)

    def pending(self) -> str:
        return self.decoder.pending()


def test_of_a_whole_prompt_only_the_stable_tail_is_decoded() -> None:
    """A caller's own ids come without a mark where their tail starts."""
    detokenizer = loaded_family(TOKENIZER).detokenizer
    family = CountingFamily(detokenizer.family)
    prompt = ids_of("a long prompt")
    Session(Detokenizer(detokenizer.vocabulary, family), SessionOptions(), prompt_tail_ids=prompt)
    assert family.seen == ["t"]


def test_part_of_a_character_is_never_told() -> None:
    """Its ids are consumed together, when the character is whole."""
    fox = ids_of("🦊")
    assert len(fox) > 1
    session = opened()
    assert session.push(fox[:-1], first_position=0, is_final=False) is None
    progress = pushed(session, fox[-1:], len(fox) - 1)
    assert (progress.text, progress.ids_consumed) == ("🦊", len(fox))


def test_the_end_releases_a_broken_character() -> None:
    """As U+FFFD, and all ids count as consumed."""
    fox = ids_of("🦊")
    progress = pushed(opened(), fox[:-1], 0, is_final=True)
    assert (progress.text, progress.ids_consumed, progress.is_final) == (
        "\ufffd",
        len(fox) - 1,
        True,
    )


def test_a_prompt_may_end_inside_a_character() -> None:
    """The answer then starts with the whole character."""
    fox = ids_of("🦊")
    session = opened(prompt_tail_ids=fox[:-1])
    assert pushed(session, fox[-1:], 0).text == "🦊"


def test_a_prompts_broken_end_is_not_told_again() -> None:
    """U+FFFD is the common prefix of prompt and prompt + answer."""
    session = opened(prompt_tail_ids=ids_of("🦊")[:-1])
    assert pushed(session, ids_of("a"), 0).text == "a"


def test_ids_count_when_their_text_is_told() -> None:
    """Text that may become a stop string holds its ids back too."""
    session = opened(SessionOptions(stops=("END",)))
    progress = pushed(session, ids_of("abEN"), 0)
    assert (progress.text, progress.ids_consumed) == ("ab", 2)
    progress = pushed(session, ids_of("X"), 4)
    assert (progress.text, progress.ids_consumed) == ("ENX", 5)


def test_a_stop_counts_up_to_the_id_that_completed_it() -> None:
    """Later ids of the same push are not consumed."""
    progress = pushed(opened(SessionOptions(stops=("END",))), ids_of("abENDcd"), 0)
    assert (progress.text, progress.ids_consumed, progress.matched_stop) == ("ab", 5, "END")
    assert progress.is_over
    assert not progress.is_final


def test_a_stop_may_stay_in_the_text() -> None:
    """And nothing after it."""
    options = SessionOptions(stops=("END",), include_stop_in_output=True)
    assert pushed(opened(options), ids_of("abENDcd"), 0).text == "abEND"


def test_text_of_the_first_min_tokens_cannot_match() -> None:
    """Not even as the beginning of a stop string; the next token's can."""
    session = opened(SessionOptions(stops=("N",), min_tokens=2))
    progress = pushed(session, ids_of("NNNN"), 0)
    assert (progress.text, progress.matched_stop, progress.ids_consumed) == ("NN", "N", 3)
    session = opened(SessionOptions(stops=("END",), min_tokens=2))
    progress = pushed(session, ids_of("ENDEND"), 0)
    assert (progress.text, progress.matched_stop, progress.ids_consumed) == ("END", "END", 6)


def test_a_session_that_goes_on_tells_only_what_is_new() -> None:
    """What its predecessor told is no news; what that one held back is."""
    session = opened(SessionOptions(stops=("END",)), prior_output_ids=ids_of("abE"))
    assert session.push([], first_position=3, is_final=False) is None
    progress = pushed(session, ids_of("x"), 3)
    assert (progress.text, progress.ids_consumed) == ("Ex", 4)


def test_each_consumed_id_is_told_with_its_own_text() -> None:
    """Where asked for, special tokens included; a part of a character is U+FFFD."""
    end = loaded_family(TOKENIZER).detokenizer.vocabulary.tokens.index("</s>")
    fox = ids_of("🦊")
    session = opened(SessionOptions(token_texts=True))
    progress = pushed(session, [*ids_of("a"), *fox, end], 0, is_final=True)
    assert progress.text == "a🦊"
    assert [token.id for token in progress.tokens] == [*ids_of("a"), *fox, end]
    texts = [token.text for token in progress.tokens]
    assert (texts[0], texts[-1]) == ("a", "</s>")
    assert "\ufffd" in texts[1]


def test_skipped_special_tokens_are_consumed_without_text() -> None:
    """The count goes on, and is told."""
    end = loaded_family(TOKENIZER).detokenizer.vocabulary.tokens.index("</s>")
    progress = pushed(opened(), [end], 0)
    assert (progress.text, progress.ids_consumed) == ("", 1)
    kept = opened(SessionOptions(skip_special_tokens=False))
    assert pushed(kept, [end], 0).text == "</s>"


@pytest.mark.parametrize("position", [0, 3])
def test_gaps_and_doubles_are_refused(position: int) -> None:
    """The message names both positions."""
    session = opened(prior_output_ids=ids_of("ab"))
    with pytest.raises(InvalidRequest, match=f"position {position}; 2 ids") as caught:
        session.push(ids_of("c"), first_position=position, is_final=False)
    assert caught.value.reason == "OUT_OF_ORDER"


def test_ids_outside_the_vocabulary_are_refused_when_opening() -> None:
    """The field is named."""
    size = loaded_family(TOKENIZER).info.vocab_size
    with pytest.raises(InvalidRequest, match=f"{size} is out of range") as caught:
        opened(prompt_tail_ids=[0, size])
    assert (caught.value.field, caught.value.reason) == ("prompt_tail_ids", "TOKEN_OUT_OF_RANGE")
    with pytest.raises(InvalidRequest) as caught:
        opened(prior_output_ids=[size])
    assert caught.value.field == "prior_output_ids"


def test_ids_outside_the_vocabulary_are_refused_when_pushed() -> None:
    """The largest id there is passes."""
    size = loaded_family(TOKENIZER).info.vocab_size
    session = opened()
    session.push([size - 1], first_position=0, is_final=False)
    with pytest.raises(InvalidRequest, match="out of range"):
        session.push([size], first_position=1, is_final=False)


@pytest.mark.parametrize("stops", [("",), ("a" * 257,), ("ä" * 129,), ("a",) * 9])
def test_stops_out_of_bounds_are_refused(stops: tuple[str, ...]) -> None:
    """Empty, too long in bytes, too many."""
    with pytest.raises(InvalidRequest) as caught:
        SessionOptions(stops=stops)
    assert caught.value.field.startswith("stop")


def aside(session: Session, ids: list[int], at: int, asides: Sequence[int]) -> Progress | None:
    return session.push(ids, first_position=at, is_final=False, aside_ids=asides)


def test_asides_have_their_own_texts_and_are_no_output() -> None:
    progress = aside(opened(), ids_of("a"), 0, ids_of("xy"))
    assert progress is not None
    assert (progress.text, progress.ids_consumed) == ("a", 1)
    assert progress.aside_texts == ("x", "y")


def test_asides_wait_for_the_update_that_follows() -> None:
    """A push that has nothing else to tell is no reason for a message."""
    session = opened(SessionOptions(stops=("abc",)))
    assert aside(session, ids_of("a"), 0, ids_of("x")) is None
    assert aside(session, [], 1, ids_of("y")) is None
    progress = aside(session, ids_of("z"), 1, ids_of("z"))
    assert progress is not None
    assert (progress.text, progress.aside_texts) == ("az", ("x", "y", "z"))


def test_asides_are_told_once() -> None:
    session = opened()
    aside(session, ids_of("a"), 0, ids_of("x"))
    assert pushed(session, ids_of("b"), 1).aside_texts == ()


def test_half_a_character_aside_shows_as_what_it_is() -> None:
    (half, _) = ids_of("é")
    progress = aside(opened(), ids_of("a"), 0, [half])
    assert progress is not None
    assert progress.aside_texts == ("\N{REPLACEMENT CHARACTER}",)


def test_more_asides_than_a_push_may_have_are_refused() -> None:
    (one,) = ids_of("a")
    aside(opened(), [one], 0, [one] * MAX_ASIDE_IDS)
    with pytest.raises(InvalidRequest, match=str(MAX_ASIDE_IDS)) as caught:
        aside(opened(), [one], 0, [one] * (MAX_ASIDE_IDS + 1))
    assert (caught.value.field, caught.value.reason) == ("aside_ids", "TOO_MANY")


def test_an_aside_beyond_the_vocabulary_is_refused_by_name() -> None:
    with pytest.raises(InvalidRequest) as caught:
        aside(opened(), ids_of("a"), 0, [1 << 30])
    assert (caught.value.field, caught.value.reason) == ("aside_ids", "TOKEN_OUT_OF_RANGE")
