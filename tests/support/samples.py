"""Samples made up for tests."""

from collections.abc import Sequence

from steeple_cli.load.history import End
from steeple_cli.load.sample import Sample


def sample(
    *times_s: float,
    counts: Sequence[int] | None = None,
    start_s: float = 0.0,
    sent_s: float | None = None,
    end: End = End.DONE,
    reason: str = "",
    is_refused: bool = False,
    is_warm_up: bool = False,
) -> Sample:
    """A request of 3 prompt tokens whose messages came at these times; it ended with the last.

    Args:
        times_s: of the messages; without any it ended one second after its start.
        counts: tokens delivered with each; None = one more each.
        start_s: when it was due.
        sent_s: None = then.
        end: how it ended.
        reason: of a failure.
        is_refused: whether that was for want of room.
        is_warm_up: whether it is left out.
    """
    return Sample(
        start_s=start_s,
        sent_s=start_s if sent_s is None else sent_s,
        ended_s=times_s[-1] if times_s else start_s + 1.0,
        end=end,
        reason=reason,
        is_refused=is_refused,
        is_warm_up=is_warm_up,
        times_s=times_s,
        counts=tuple(counts if counts is not None else range(1, len(times_s) + 1)),
        num_prompt_tokens=3 if times_s else 0,
    )
