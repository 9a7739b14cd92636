"""Folds what the engine and the tokenizer service tell about one output into events. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.token_details import TokenDetails
from gateway.upstream_values import EngineUpdate, TextUpdate
from gateway.values import (
    Event,
    Finished,
    FinishReason,
    GenerationRequest,
    Options,
    Started,
    TextDelta,
    Token,
    Usage,
)

Signal = EngineUpdate | TextUpdate


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptFacts:
    """What is known about the prompt before the engine starts."""

    model: str
    num_tokens: int
    arrival: float
    """When the request came, monotonic seconds."""
    tokenize_s: float


class OutputFold:
    """The state of one output between its signals; `events` is called with all that gathered."""

    def __init__(self, request: GenerationRequest, prompt: PromptFacts) -> None:
        self._request = request
        self._prompt = prompt
        self._details = TokenDetails() if request.logprobs is not None else None
        # The start that was told; further ones come from engines that took over.
        self._start: EngineUpdate | None = None
        self._queue_ns = 0
        self._lost_prefill_s = 0.0
        self._lost_decode_s = 0.0
        self._end: EngineUpdate | None = None
        self._num_tokens = 0
        self._started_at = 0.0
        self._first_token_at: float | None = None
        self._last_token_at = 0.0

    def events(self, signals: Sequence[Signal], now: float) -> list[Event]:
        """The events that the signals amount to: at most one delta, the closing ones at the end."""
        events: list[Event] = []
        updates = []
        for signal in signals:
            if isinstance(signal, TextUpdate):
                updates.append(signal)
            else:
                events += self._engine_events(signal, now)
        if updates:
            self._note_tokens(now)
            events += self._text_events(updates, now)
        return events

    def _engine_events(self, update: EngineUpdate, now: float) -> list[Event]:
        if self._details is not None:
            self._details.expect(update)
        if update.finish_reason is not None:
            self._end = update
        if not update.is_first:
            return []
        is_takeover = self._start is not None
        self._begin_attempt(update, now)
        if is_takeover:
            return []
        self._start = update
        return [
            Started(
                request_id=self._request.request_id,
                model=self._prompt.model,
                num_prompt_tokens=self._prompt.num_tokens,
                sampling=self._sampling(update.sampling or {}),
                stopping=self._stopping(update.stopping or {}),
                queue_ns=update.queue_ns,
            )
        ]

    def _begin_attempt(self, start: EngineUpdate, now: float) -> None:
        """Close the books of an attempt that was lost: its engine told no times, ours count."""
        if self._first_token_at is not None:
            self._lost_prefill_s += self._first_token_at - self._started_at
            self._lost_decode_s += self._last_token_at - self._first_token_at
        self._first_token_at = None
        self._started_at = now
        self._queue_ns += start.queue_ns

    def _sampling(self, used: Options) -> Options:
        """The engine's, and the words of which it knows only the ids."""
        words = self._request.bad_words
        return {**used, "bad_words": words} if words else used

    def _stopping(self, used: Options) -> Options:
        """The engine's limits, and the stop strings that are not its affair."""
        return {
            **used,
            "stop": self._request.stop,
            "include_stop_in_output": self._request.include_stop_in_output,
        }

    def _text_events(self, updates: list[TextUpdate], now: float) -> list[Event]:
        last = updates[-1]
        text = "".join(update.text for update in updates)
        withheld = self._withheld_token(last)
        num_tokens = last.num_consumed + (withheld is not None)
        tokens = self._tokens(updates, withheld)
        events: list[Event] = []
        if text or tokens or num_tokens > self._num_tokens:
            self._num_tokens = num_tokens
            events.append(TextDelta(text=text, num_completion_tokens=num_tokens, tokens=tokens))
        if last.is_final or last.matched_stop is not None:
            events += [self._finished(last), self._usage(now)]
        return events

    def _tokens(self, updates: list[TextUpdate], withheld: int | None) -> tuple[Token, ...]:
        """The tokens whose text is complete now, with what was asked about them."""
        tokens = tuple(token for update in updates for token in update.tokens)
        if withheld is not None and self._request.tells_tokens:
            tokens += (Token(token_id=withheld, text=""),)
        if self._details is None:
            return tokens
        for update in updates:
            self._details.know(update)
        return self._details.of(tokens)

    def _withheld_token(self, last: TextUpdate) -> int | None:
        """The end token that counts and has no text in the output.

        What comes after a stop string is discarded and does not count: an end token too.
        """
        if not last.is_final or last.matched_stop is not None or self._end is None:
            return None
        return None if self._request.include_stop_in_output else self._end.stop_token_id

    def _finished(self, last: TextUpdate) -> Finished:
        if last.matched_stop is not None:
            return Finished(reason=FinishReason.STOP_STRING, stop_text=last.matched_stop)
        end = self._end or EngineUpdate()
        return Finished(
            reason=end.finish_reason or FinishReason.ABORTED, stop_token_id=end.stop_token_id
        )

    def _usage(self, now: float) -> Usage:
        start, end = self._start or EngineUpdate(), self._end
        first = now if self._first_token_at is None else self._first_token_at
        return Usage(
            num_prompt_tokens=self._prompt.num_tokens,
            num_completion_tokens=self._num_tokens,
            num_cached_prompt_tokens=start.num_cached_prompt_tokens,
            tokenize_ns=_ns(self._prompt.tokenize_s),
            queue_ns=self._queue_ns,
            # After a stop string the engine was cut off and told no times: these are ours.
            prefill_ns=_ns(self._lost_prefill_s)
            + (end.prefill_ns if end else _ns(first - self._started_at)),
            decode_ns=_ns(self._lost_decode_s)
            + (end.decode_ns if end else _ns(self._last_token_at - first)),
            total_ns=_ns(now - self._prompt.arrival),
        )

    def _note_tokens(self, now: float) -> None:
        if self._first_token_at is None:
            self._first_token_at = now
        self._last_token_at = now


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
