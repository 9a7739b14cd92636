"""Stop strings are found as a plain search finds them, whatever the borders."""

from hypothesis import given
from hypothesis import strategies as st

from tokenizer_svc.detokenize.stop_strings import StopMatcher

ALPHABET = st.sampled_from("ab🦊")


def plain_search(text: str, stops: list[str]) -> tuple[int, int] | None:
    """(start, end) of the match that ends first, then starts first; by trying everything."""
    found = [
        (start, start + len(stop))
        for stop in stops
        for start in range(len(text))
        if text.startswith(stop, start)
    ]
    return min(found, key=lambda match: (match[1], match[0]), default=None)


@given(
    chunks=st.lists(st.text(ALPHABET, max_size=4), max_size=8),
    stops=st.lists(st.text(ALPHABET, min_size=1, max_size=4), max_size=4),
)
def test_the_automaton_equals_a_plain_search(chunks: list[str], stops: list[str]) -> None:
    """Same match and same text before it; without a match, all text comes out in the end."""
    matcher = StopMatcher(stops)
    expected = plain_search("".join(chunks), stops)
    text = ""
    for chunk in chunks:
        released = matcher.push(chunk)
        text += released.text
        if released.matched_stop is not None:
            assert expected == (len(text), len(text) + len(released.matched_stop))
            return
    assert expected is None
    assert text + matcher.finish() == "".join(chunks)


@given(
    text=st.text(ALPHABET, max_size=12),
    stops=st.lists(st.text(ALPHABET, min_size=1, max_size=4), min_size=1, max_size=4),
)
def test_exactly_what_could_become_a_stop_is_held_back(text: str, stops: list[str]) -> None:
    """The held text is the longest end of the text that begins a stop string."""
    matcher = StopMatcher(stops)
    released = matcher.push(text)
    if released.matched_stop is None:
        held = text[len(released.text) :]
        beginnings = {stop[:n] for stop in stops for n in range(len(stop))}
        ends = (text[start:] for start in range(len(text) + 1))
        longest = next(end for end in ends if end in beginnings)
        assert held == longest
