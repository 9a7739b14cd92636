"""What every stream promises, checked on recorded histories: pure, and blind to how it was served.

Ordered, Complete, Bounded, Terminated, Accounted, Isolated: each check tells its violations as
sentences that begin with the request's name.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from steeple_cli.load.history import End, History, LoadRequest
from steeple_client import Finished, FinishReason, Started, TextDelta, Usage
from steeple_rpc.errors import DeadlineExpired


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a whole answer must be; None = unknown."""

    text: str | None = None
    num_prompt_tokens: int | None = None


_CANARY = re.compile("<([^<>]+)>")


def _nothing_known(_: LoadRequest) -> Expected:
    return Expected()


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What a load is held to.

    Args:
        allowed: reasons with which a request may fail.
        max_s: longest that a stream may take to end, whatever happens.
        expected: the whole answer to a request, where it is known.
        has_canaries: each prompt holds its request's `canary`, which no other answer may show.
    """

    allowed: frozenset[str] = frozenset()
    max_s: float = float("inf")
    expected: Callable[[LoadRequest], Expected] = _nothing_known
    has_canaries: bool = False


def canary(request: LoadRequest) -> str:
    """Text that belongs to one request alone."""
    return f"<{request.name}>"


def violations(histories: Sequence[History], promise: Promise) -> list[str]:
    """Everything that broke a promise; empty = all was kept."""
    names = {history.request.name for history in histories} if promise.has_canaries else set()
    return [
        f"{history.request.name}: {told}"
        for history in histories
        for told in (*_of_one(history, promise), *_isolated(history, names))
    ]


def _of_one(history: History, promise: Promise) -> Iterator[str]:
    yield from _ordered(history)
    yield from _terminated(history, promise)
    yield from _bounded(history)
    yield from _complete(history, promise.expected(history.request))
    if history.end is End.DONE:
        yield from _accounted(history, promise.expected(history.request))


def _ordered(history: History) -> Iterator[str]:
    """Started first and once, then deltas whose counts rise, one finished, one usage."""
    events = [event for _, event in history.events]
    phases = [_PHASES[type(event)] for event in events]
    if phases != sorted(phases):
        yield f"events out of order: {[type(event).__name__ for event in events]}"
    yield from (
        f"{kind.__name__} came {count} times"
        for kind in (Started, Finished, Usage)
        if (count := sum(isinstance(event, kind) for event in events)) > 1
    )
    if events and not isinstance(events[0], Started):
        yield "the first event is not Started"
    counts = [event.num_completion_tokens for event in events if isinstance(event, TextDelta)]
    if any(later < earlier for earlier, later in itertools.pairwise(counts)):
        yield f"the count of tokens fell: {counts}"
    yield from _aligned(events)


def _aligned(events: Iterable[object]) -> Iterator[str]:
    """Token details, where told, are as many as the count rose by."""
    told = 0
    for event in events:
        if isinstance(event, TextDelta):
            told += len(event.tokens)
            if told and told != event.num_completion_tokens:
                yield f"{told} token details for {event.num_completion_tokens} tokens"
                return


_PHASES = {Started: 0, TextDelta: 1, Finished: 2, Usage: 3}


def _terminated(history: History, promise: Promise) -> Iterator[str]:
    took_s = history.ended_s - history.sent_s
    if took_s > promise.max_s:
        yield f"took {took_s:.1f} s to end; at most {promise.max_s:.1f} s are allowed"
    if history.end is End.DONE and history.usage is None:
        yield "ended OK without its usage"
    if history.end is End.FAILED:
        reason = "" if history.error is None else history.error.reason
        # A caller's own deadline may fall between the last event and the status.
        if history.usage is not None and not isinstance(history.error, DeadlineExpired):
            yield "failed after its regular end"
        if reason not in promise.allowed:
            yield f"failed with {reason or 'no reason'}: {history.error}"


def _bounded(history: History) -> Iterator[str]:
    limit = history.request.options.get("max_tokens")
    if limit is not None and history.num_tokens > limit:
        yield f"{history.num_tokens} tokens with max_tokens {limit}"


def _complete(history: History, expected: Expected) -> Iterator[str]:
    """The whole text at a regular end, a beginning of it otherwise: no gap and no double."""
    if expected.text is None:
        return
    is_right = (
        history.text == expected.text
        if history.end is End.DONE
        else expected.text.startswith(history.text)
    )
    if not is_right:
        yield f"text is {history.text[-60:]!r} instead of {expected.text[-60:]!r} ({history.end})"


def _accounted(history: History, expected: Expected) -> Iterator[str]:
    usage = history.usage
    if usage is None:
        return
    if usage.num_completion_tokens != history.num_tokens:
        yield f"usage says {usage.num_completion_tokens} tokens; {history.num_tokens} came"
    if expected.num_prompt_tokens not in (None, usage.num_prompt_tokens):
        yield f"usage says {usage.num_prompt_tokens} prompt tokens"
    finished = next((e for _, e in history.events if isinstance(e, Finished)), None)
    if finished is None:
        yield "ended OK without a finish reason"
    elif finished.reason is FinishReason.MAX_TOKENS:
        limit = history.request.options.get("max_tokens", history.num_tokens)
        if history.num_tokens != limit:
            yield f"MAX_TOKENS at {history.num_tokens} of {limit} tokens"


def _isolated(history: History, names: set[str]) -> Iterator[str]:
    """Looks for canaries in the text, not for each of them: there may be a hundred thousand."""
    shown = set(_CANARY.findall(history.text)) & names
    yield from (f"shows the canary of {name}" for name in sorted(shown - {history.request.name}))
