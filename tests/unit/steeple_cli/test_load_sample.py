"""A sample keeps of a stream what tells its speed, and counts from when it was due."""

from dataclasses import replace

from steeple_cli.load.history import End, LoadRequest
from steeple_cli.load.sample import sample_of
from steeple_rpc.errors import Overloaded
from tests.support.histories import STARTED, delta, finished, history, usage
from tests.support.samples import sample

DONE = history(STARTED, delta("a", 1), delta("bc", 3), finished(), usage(3))
FULL = Overloaded("full", reason="QUEUE_FULL")
SLOW = Overloaded("slow", reason="CLIENT_TOO_SLOW")


def test_the_first_token_counts_from_sending() -> None:
    assert sample_of(DONE).ttft_s == 2.0


def test_the_first_token_counts_from_the_time_it_was_due_if_there_was_one() -> None:
    late = replace(DONE, request=LoadRequest(name="r", prompt="p", due_s=-5.0))
    assert (sample_of(late).ttft_s, sample_of(late).total_s) == (7.0, 10.0)


def test_tokens_that_come_together_share_the_gap() -> None:
    assert sample_of(DONE).itl_s == [0.5, 0.5]
    assert sample_of(DONE).gaps_s == [1.0]


def test_a_message_without_a_new_token_is_no_token() -> None:
    """Text that was held back comes without one: the gap before it belongs to the next token."""
    told = sample_of(history(STARTED, delta("a", 1), delta("b", 1), delta("c", 2)))
    assert (told.counts, told.itl_s) == ((1, 2), [2.0])


def test_the_time_per_token_is_over_all_tokens_after_the_first() -> None:
    assert sample(1.0, 2.0, 7.0).tpot_s == 3.0
    assert sample(1.0, 7.0, counts=[1, 4]).tpot_s == 2.0
    assert sample(1.0).tpot_s is None


def test_counts_are_the_servers() -> None:
    told = sample_of(DONE)
    assert (told.num_prompt_tokens, told.num_tokens, told.queue_s) == (3, 3, 0.0)


def test_only_who_was_turned_away_at_the_door_is_refused() -> None:
    """A stream that the server ended later for want of room has failed."""
    refused = sample_of(history(end=End.FAILED, error=FULL))
    failed = sample_of(history(STARTED, delta("a", 1), end=End.FAILED, error=SLOW))
    assert (refused.is_refused, refused.reason) == (True, "QUEUE_FULL")
    assert (failed.is_refused, failed.reason) == (False, "CLIENT_TOO_SLOW")
