"""Rules of stop strings that examples tell best."""

import time

from tokenizer_svc.detokenize.stop_strings import StopMatcher


def test_a_stop_across_chunks_is_cut_out() -> None:
    """Text before it is released, its parts never."""
    matcher = StopMatcher(["STOP"])
    assert matcher.push("one ST").text == "one "
    released = matcher.push("OP two")
    assert (released.text, released.matched_stop) == ("", "STOP")


def test_the_match_that_ends_first_wins() -> None:
    """Even over one that started earlier."""
    released = StopMatcher(["abcd", "bc"]).push("abcd")
    assert (released.text, released.matched_stop) == ("a", "bc")


def test_of_two_that_end_together_the_longer_wins() -> None:
    """Whatever their order in the list."""
    for stops in (["c", "abc"], ["abc", "c"]):
        released = StopMatcher(stops).push("xabc")
        assert (released.text, released.matched_stop) == ("x", "abc")


def test_a_disproved_beginning_is_released() -> None:
    """With what may begin anew held back."""
    matcher = StopMatcher(["aab"])
    assert matcher.push("aa").text == ""
    assert matcher.push("a").text == "a"
    assert matcher.push("c").text == "aac"
    assert matcher.finish() == ""


def test_the_cost_is_linear_in_the_text() -> None:
    """Eight stops that almost match everywhere read each character a bounded number of times."""
    stops = ["a" * 255 + char for char in "bcdefghi"]
    matcher = StopMatcher(stops)
    start = time.thread_time()
    for _ in range(200):
        matcher.push("a" * 1000)
    assert time.thread_time() - start < 2.0
    assert matcher.finish() == "a" * 255
