"""How long a call may take: any number above 0, infinity among them."""

import pytest

from steeple_client import Client, InvalidRequest
from tests.support.answers import generate_events, generate_reply, played, replied
from tests.support.client_calls import Calls, refusal
from tests.support.scripted import ScriptedInference

NO_TIMES = [0, -1.0, float("nan")]


@pytest.mark.parametrize("timeout_s", [float("inf"), 1e12])
async def test_a_time_without_an_end_is_no_time_that_is_over(
    calls: Calls, script: ScriptedInference, timeout_s: float
) -> None:
    """The library counts what it cannot hold as past."""
    script.generate = replied(generate_reply("4"))
    script.generate_stream = played(generate_events("4"))
    assert (await calls.generate("x", timeout_s=timeout_s)).text == "4"
    assert await calls.generate_stream("x", timeout_s=timeout_s)


@pytest.mark.parametrize("timeout_s", NO_TIMES)
async def test_a_time_in_which_nothing_can_be_is_refused(calls: Calls, timeout_s: float) -> None:
    for error in (
        await refusal(calls.generate("x", timeout_s=timeout_s)),
        await refusal(calls.generate_stream("x", timeout_s=timeout_s)),
    ):
        assert isinstance(error, InvalidRequest)
        assert (error.reason, error.field) == ("OUT_OF_RANGE", "timeout_s")


@pytest.mark.parametrize("timeout_s", NO_TIMES)
def test_a_client_of_no_time_is_refused_where_it_is_made(timeout_s: float) -> None:
    with pytest.raises(InvalidRequest, match="timeout_s must be above 0"):
        Client("127.0.0.1:1", timeout_s=timeout_s)
