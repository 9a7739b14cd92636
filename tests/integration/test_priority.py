"""A caller's priority reaches the engine's policy through gateway and front."""

import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from steeple_client import Client, GenerationStream, TextDelta
from steeple_rpc.errors import InvalidRequest
from tests.support.cluster import Stub, is_idle, load_of
from tests.support.waiting import eventually

NUM_SEATS = 8


def test_the_urgent_request_takes_a_seat_and_gives_it_back(
    slow_client: Client, slow_stub: Stub
) -> None:
    """It came last; whoever lost the seat waits before the patient one, and loses nothing else."""
    eventually(lambda: is_idle(slow_stub))
    before = load_of(slow_stub)
    with contextlib.ExitStack() as stack:
        # Only to wait for a first event.
        pool = stack.enter_context(ThreadPoolExecutor(1))

        def stream(priority: int) -> GenerationStream:
            return stack.enter_context(
                slow_client.generate_stream("hello world", max_tokens=900, priority=priority)
            )

        seats = [stream(0) for _ in range(NUM_SEATS)]
        for seat in seats:
            next(seat)
        patient = stream(5)
        patient_started = pool.submit(next, patient)
        eventually(lambda: load_of(slow_stub).num_waiting == 1)
        urgent = stream(-5)
        next(urgent)
        after = load_of(slow_stub)
        assert after.num_waiting == 2
        assert after.num_preemptions > before.num_preemptions
        urgent.cancel()
        eventually(lambda: load_of(slow_stub).num_waiting == 1)
        assert not patient_started.done()
        seats[0].cancel()
        patient_started.result(timeout=60)
        # The loser has the fewest tokens of all: with more than the mean it had some since.
        count = (load_of(slow_stub).num_output_tokens - before.num_output_tokens) // NUM_SEATS + 1
        short, long = sorted((text_of(seat, count) for seat in (seats[-1], seats[1])), key=len)
        assert short
        assert long.startswith(short)
    eventually(lambda: load_of(slow_stub).num_waiting == 0)


def text_of(stream: GenerationStream, count: int) -> str:
    """What it says up to so many tokens, or a few more."""
    text = ""
    for event in stream:
        if isinstance(event, TextDelta):
            text += event.text
            if event.num_completion_tokens >= count:
                return text
    raise AssertionError(f"it ended before {count} tokens: {text!r}")


@pytest.mark.parametrize("priority", [-1001, 1001])
def test_a_priority_out_of_its_bounds_is_refused(client: Client, priority: int) -> None:
    """With the field, its bounds and the value."""
    with pytest.raises(InvalidRequest, match=f"-1000 to 1000; it is {priority}") as caught:
        client.generate("hello", max_tokens=1, priority=priority)
    assert caught.value.field == "priority"
