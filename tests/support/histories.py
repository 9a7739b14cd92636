"""Histories made up for tests."""

from steeple_cli.load.history import End, History, LoadRequest
from steeple_client import Event, Finished, FinishReason, Started, TextDelta, Usage
from steeple_rpc.errors import ServiceError

STARTED = Started(request_id="r", model="m", num_prompt_tokens=3)


def delta(text: str, count: int) -> TextDelta:
    """New text that brings the output to `count` tokens."""
    return TextDelta(text=text, num_completion_tokens=count)


def finished(reason: FinishReason = FinishReason.EOS) -> Finished:
    """The end of the output."""
    return Finished(reason=reason)


def usage(count: int) -> Usage:
    """3 prompt tokens and `count` of output."""
    return Usage(num_prompt_tokens=3, num_completion_tokens=count)


def history(
    *events: Event,
    request: LoadRequest | None = None,
    end: End = End.DONE,
    error: ServiceError | None = None,
    sent_s: float = 0.0,
) -> History:
    """One event a second from the second after sending on; the end comes with the last."""
    return History(
        request=request or LoadRequest(name="r", prompt="p"),
        sent_s=sent_s,
        events=tuple((sent_s + 1.0 + at, event) for at, event in enumerate(events)),
        ended_s=sent_s + max(1, len(events)),
        end=end,
        error=error,
    )
