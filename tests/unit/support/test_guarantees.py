"""The validators refuse every kind of broken stream: a check that accepts all checks nothing."""

import pytest

from steeple_cli.load.history import End, History, LoadRequest
from steeple_client import FinishReason, GenerateOptions, TextDelta, Token
from steeple_rpc.errors import EngineFault, Overloaded
from tests.support.guarantees import Expected, Promise, violations
from tests.support.histories import STARTED, delta, finished, history, usage

REQUEST = LoadRequest(name="r", prompt="p", options=GenerateOptions(max_tokens=3))
AB = (STARTED, delta("a", 1), delta("b", 2), finished(), usage(2))
KNOWN = Promise(expected=lambda _: Expected(text="ab", num_prompt_tokens=3), max_s=10.0)


def test_a_good_stream_breaks_nothing() -> None:
    assert violations([history(*AB, request=REQUEST)], KNOWN) == []


@pytest.mark.parametrize("cut", range(4))
def test_a_stream_that_its_caller_left_is_held_to_its_beginning(cut: int) -> None:
    assert violations([history(*AB[:cut], end=End.LEFT)], KNOWN) == []


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (history(*AB[1:]), "first event"),
        (history(STARTED, *AB), "Started came 2 times"),
        (history(AB[0], AB[2], AB[1], *AB[3:]), "count of tokens fell"),
        (history(*AB[:3], AB[4], AB[3]), "out of order"),
        (history(*AB[:3], finished(), *AB[3:]), "Finished came 2 times"),
        (history(*AB[:4]), "without its usage"),
        (history(*AB[:3], usage(2)), "without a finish reason"),
        (history(STARTED, delta("a", 1), finished(), usage(1)), "text is 'a'"),
        (history(STARTED, delta("aab", 3), finished(), usage(3)), "text is 'aab'"),
        (history(STARTED, delta("b", 1), end=End.LEFT), "text is 'b'"),
        (history(*AB[:4], usage(3)), "usage says 3 tokens"),
        (history(*AB[:3], finished(FinishReason.MAX_TOKENS), usage(2), request=REQUEST), "of 3"),
        (history(*AB, end=End.FAILED, error=EngineFault("x")), "failed after its regular end"),
        (history(*AB[:2], end=End.FAILED, error=EngineFault("x", reason="Y")), "failed with Y"),
        (history(*AB, *[delta("", 2)] * 9), "took"),
    ],
)
def test_each_broken_promise_is_told(broken: History, told: str) -> None:
    assert any(told in violation for violation in violations([broken], KNOWN))


def test_too_many_tokens_are_told() -> None:
    stream = history(STARTED, delta("abcd", 4), finished(), usage(4), request=REQUEST)
    assert violations([stream], Promise()) == ["r: 4 tokens with max_tokens 3"]


def test_token_details_must_be_as_many_as_tokens() -> None:
    short = TextDelta(text="ab", num_completion_tokens=2, tokens=(Token(token_id=1, text="a"),))
    stream = history(STARTED, short, finished(), usage(2))
    assert violations([stream], Promise()) == ["r: 1 token details for 2 tokens"]


def test_a_reason_that_the_fault_allows_is_no_violation() -> None:
    refused = history(end=End.FAILED, error=Overloaded("full", reason="QUEUE_FULL"))
    assert violations([refused], Promise(allowed=frozenset({"QUEUE_FULL"}))) == []
    assert violations([refused], Promise()) == ["r: failed with QUEUE_FULL: full"]


def test_text_of_another_request_is_told() -> None:
    promise = Promise(has_canaries=True)
    mine = LoadRequest(name="mine", prompt="p")
    theirs = LoadRequest(name="theirs", prompt="p")
    leaked = history(STARTED, delta("<mine><theirs>", 1), finished(), usage(1), request=mine)
    other = history(STARTED, delta("<theirs>", 1), finished(), usage(1), request=theirs)
    assert violations([leaked, other], promise) == ["mine: shows the canary of theirs"]
