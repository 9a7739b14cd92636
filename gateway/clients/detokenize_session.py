"""One detokenize session as the gateway sees it; it outlives the stream that serves it.

Kept are the ids whose text has come and the pushes that nothing is known about yet. A new stream
gets the former as prior output and the latter once more, so that the text goes on exactly where it
was cut: what was told is not told again, what was held back is held back again.
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

from gateway.upstream_values import SessionOptions, TextUpdate
from gateway.values import Token
from steeple.tokenizer.v1.detokenize_pb2 import (
    CloseSession,
    OpenSession,
    PushTokens,
    SessionCommand,
    SessionUpdate,
)
from steeple_rpc.errors import ServiceError

MAX_ASIDE_IDS = 4096
"""Of one push; the service takes no more."""
ITEM_BYTES = 32


class TextSink(Protocol):
    """The part of an outbox that a session writes to."""

    def put(self, item: TextUpdate, size_bytes: int) -> bool:
        """Take an update; False ends the session."""

    def close(self, error: ServiceError | None = None) -> None:
        """No more updates."""


class Session:
    """One growing output: push ids, its text comes through the sink given at the start.

    Args:
        number: unique on the stream.
        options: how to decode.
        fingerprint: of the tokenizer that must do it; empty until it is known.
        updates: where the text goes.
        send: takes commands while a stream is up, and drops them while none is.
        forget: told when the session is closed here.
    """

    def __init__(
        self,
        number: int,
        options: SessionOptions,
        updates: TextSink,
        *,
        fingerprint: str,
        send: Callable[[SessionCommand], None],
        forget: Callable[[int], None],
    ) -> None:
        self.number = number
        self.model = options.model
        self.fingerprint = fingerprint
        self.is_on_stream = False
        """Whether the stream that is up knows of it."""
        self._options = options
        self._updates = updates
        self._send = send
        self._forget = forget
        self._told_ids: list[int] = []
        self._unanswered: deque[PushTokens] = deque()
        self._asides: deque[int] = deque()

    def push(
        self,
        first_position: int,
        token_ids: tuple[int, ...],
        *,
        final: bool,
        aside_ids: tuple[int, ...] = (),
    ) -> None:
        """Decode more ids; with `final`, release everything that was held back.

        Args:
            first_position: how many ids came before.
            token_ids: in order.
            final: no more will come.
            aside_ids: ids that are no output; their own texts come with the next update at last.
        """
        asides = [
            aside_ids[start : start + MAX_ASIDE_IDS]
            for start in range(0, len(aside_ids), MAX_ASIDE_IDS)
        ]
        # Ahead of the ids: the update that tells these must have the texts.
        for some in asides[:-1]:
            self._push(PushTokens(first_position=first_position, aside_ids=some))
        last = asides[-1] if asides else ()
        self._push(
            PushTokens(first_position=first_position, ids=token_ids, final=final, aside_ids=last)
        )

    def close(self) -> None:
        """Forget the session. Idempotent; needed on every path."""
        self._forget(self.number)

    def opening(self) -> list[SessionCommand]:
        """What a stream that does not know the session must be told."""
        pushes = [SessionCommand(session=self.number, push=push) for push in self._unanswered]
        return [SessionCommand(session=self.number, open=self._open_message()), *pushes]

    def closing(self) -> SessionCommand:
        """What a stream must be told that is to forget it."""
        return SessionCommand(session=self.number, close=CloseSession())

    def take(self, update: SessionUpdate) -> bool:
        """Pass an update on; False if nobody wants it."""
        while self._unanswered and _is_answered(self._unanswered[0], update.ids_received):
            self._told_ids += self._unanswered.popleft().ids
        asides = {self._asides.popleft(): text for text in update.aside_texts}
        return self._updates.put(_text_update(update, asides), ITEM_BYTES + update.ByteSize())

    def end(self, error: ServiceError | None = None) -> None:
        """Nothing more will come."""
        self._updates.close(error)

    def _push(self, push: PushTokens) -> None:
        self._unanswered.append(push)
        self._asides.extend(push.aside_ids)
        if self.is_on_stream:
            self._send(SessionCommand(session=self.number, push=push))

    def _open_message(self) -> OpenSession:
        options = self._options
        return OpenSession(
            model=options.model,
            prompt_tail_ids=options.prompt_tail_ids,
            prior_output_ids=self._told_ids,
            stop=options.stop,
            min_tokens=options.min_tokens,
            skip_special_tokens=options.skip_special_tokens,
            include_stop_in_output=options.include_stop_in_output,
            token_texts=options.token_texts,
        )


def _is_answered(push: PushTokens, num_received: int) -> bool:
    """Whether an update that is true after `num_received` ids was made with this push.

    One without ids at that very place may have come after the update: it is sent once more, and its
    texts are told then.
    """
    end = push.first_position + len(push.ids)
    return end < num_received or (end == num_received and len(push.ids) > 0)


def _text_update(update: SessionUpdate, asides: dict[int, str]) -> TextUpdate:
    return TextUpdate(
        text=update.text,
        num_consumed=update.ids_consumed,
        tokens=tuple(Token(token_id=token.id, text=token.text) for token in update.tokens),
        aside_texts=asides,
        matched_stop=update.matched_stop if update.HasField("matched_stop") else None,
        is_final=update.final,
    )
