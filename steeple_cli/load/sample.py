"""What a stream tells about speed, without its text: a fraction of the size of its history.

Latencies count from the time at which a request was due. A request that is sent late, because its
sender or its server was busy, has waited all the same: who counts from the sending leaves out the
very waits that an overload causes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from steeple_cli.load.history import End, History
from steeple_client import Started, TextDelta
from steeple_rpc.errors import Overloaded


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One request, timed; seconds on its caller's clock."""

    start_s: float
    """When it was due: its time in an open loop, else when it was sent."""
    sent_s: float
    ended_s: float
    end: End
    reason: str = ""
    """Of the error, with FAILED."""
    is_refused: bool = False
    """Failed because the server was full, before anything was computed for it."""
    retry_after_s: float | None = None
    """When the server said that trying again may help."""
    is_warm_up: bool = False
    times_s: tuple[float, ...] = ()
    """When each message came that brought tokens."""
    counts: tuple[int, ...] = ()
    """Output tokens delivered then; cumulative, as the server counts them."""
    num_prompt_tokens: int = 0
    num_cached_prompt_tokens: int = 0
    queue_s: float | None = None
    """What the server says it waited there; None without a regular end."""

    @property
    def num_tokens(self) -> int:
        """Output tokens delivered."""
        return self.counts[-1] if self.counts else 0

    @property
    def total_s(self) -> float:
        """From the time it was due to its end."""
        return self.ended_s - self.start_s

    @property
    def ttft_s(self) -> float | None:
        """From the time it was due to the first token; None if none came."""
        return self.times_s[0] - self.start_s if self.times_s else None

    @property
    def tpot_s(self) -> float | None:
        """From the first to the last token, per token after the first; None below two."""
        if self.num_tokens < 2:  # noqa: PLR2004 - between two tokens there is a time
            return None
        return (self.times_s[-1] - self.times_s[0]) / (self.num_tokens - 1)

    @property
    def gaps_s(self) -> list[float]:
        """From one message with tokens to the next."""
        return [now - before for before, now in pairwise(self.times_s)]

    @property
    def itl_s(self) -> list[float]:
        """Between tokens: each gap between messages, shared by the tokens that ended it."""
        itl: list[float] = []
        for gap, (before, now) in zip(self.gaps_s, pairwise(self.counts), strict=True):
            itl += [gap / (now - before)] * (now - before)
        return itl


def sample_of(history: History) -> Sample:
    """The sample of a recorded stream."""
    request, usage, error = history.request, history.usage, history.error
    arrivals = list(_arrivals(history))
    started = next((e for _, e in history.events if isinstance(e, Started)), None)
    return Sample(
        start_s=history.sent_s if request.due_s is None else request.due_s,
        sent_s=history.sent_s,
        ended_s=history.ended_s,
        end=history.end,
        reason="" if error is None else error.reason,
        is_refused=isinstance(error, Overloaded) and not history.events,
        retry_after_s=None if error is None else error.retry_after_s,
        is_warm_up=request.is_warm_up,
        times_s=tuple(at_s for at_s, _ in arrivals),
        counts=tuple(count for _, count in arrivals),
        num_prompt_tokens=started.num_prompt_tokens if started else 0,
        num_cached_prompt_tokens=usage.num_cached_prompt_tokens if usage else 0,
        queue_s=usage.queue_s if usage else None,
    )


def _arrivals(history: History) -> Iterator[tuple[float, int]]:
    """When the count of tokens rose, and to what; a delta may bring held-back text alone."""
    num_before = 0
    for at_s, event in history.events:
        if isinstance(event, TextDelta) and event.num_completion_tokens > num_before:
            num_before = event.num_completion_tokens
            yield at_s, num_before
