"""F-44: a request id that is in use. The second request is refused, the first one untouched.

An id belongs to its principal: another one may use it at the same time, and learns nothing by it.
"""

import pytest

from steeple_client import Finished, FinishReason, TextDelta, Usage
from steeple_rpc.errors import AlreadyExists
from tests.support.fault_counts import count
from tests.support.guarded import ALICE, BOB, GuardedGateway

MAX_TOKENS = 700
"""Three and a half seconds of an answer: it has not ended before the others are refused."""


def test_an_id_in_use_is_refused_and_its_owner_notices_nothing(guarded: GuardedGateway) -> None:
    """Refused while the first one streams; free again afterwards; bob has his own."""
    asked = {"request_id": "same", "max_tokens": MAX_TOKENS, "ignore_eos": True}
    with guarded.client(ALICE) as alice, guarded.client(BOB) as bob:
        first = alice.generate_stream("one two three", **asked)  # type: ignore[arg-type] # by name
        events = [next(first)]
        # At the same time, that it takes no longer.
        other = bob.generate_stream("one two three", **{**asked, "request_id": "other"})  # type: ignore[arg-type] # likewise
        others = [next(other)]
        for _ in range(count(3, 300)):
            with pytest.raises(AlreadyExists) as caught:
                alice.generate("four", request_id="same", max_tokens=1)
            assert (caught.value.reason, caught.value.field) == ("REQUEST_EXISTS", "request_id")
        assert bob.generate("five", request_id="same", max_tokens=1).usage.num_completion_tokens
        events += first
        assert [type(event) for event in events[-2:]] == [Finished, Usage]
        finished, usage = events[-2:]
        assert isinstance(finished, Finished)
        assert isinstance(usage, Usage)
        assert finished.reason is FinishReason.MAX_TOKENS
        assert usage.num_completion_tokens == MAX_TOKENS
        streamed = "".join(event.text for event in events if isinstance(event, TextDelta))
        others += other
        assert "".join(event.text for event in others if isinstance(event, TextDelta)) == streamed
        again = alice.generate("one two three", request_id="same", max_tokens=1)
        assert again.usage.num_completion_tokens == 1
