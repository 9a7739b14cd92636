"""How far a stream is: what both kinds of streams know."""

from typing import assert_never

from steeple_client.calls import Call
from steeple_client.errors import EngineFault, ServiceError, stream_cancelled
from steeple_client.retries import Attempts
from steeple_client.values import Event, Finished, Generation, Started, TextDelta, Token, Usage


class Progress:
    """The events of one stream so far, added up, and how it failed.

    Args:
        call: what is streamed.
        attempts: told when the first event comes.
    """

    def __init__(self, call: Call[Event | None], attempts: Attempts) -> None:
        self.error: ServiceError | None = None
        """What ended the stream, if a failure did."""
        self._call = call
        self._attempts = attempts
        self._started: Started | None = None
        self._finished: Finished | None = None
        self._usage: Usage | None = None
        self._texts: list[str] = []
        self._tokens: list[Token] = []

    @property
    def text(self) -> str:
        """All text so far."""
        return "".join(self._texts)

    def took(self, message: object) -> Event | None:
        """The next message as an event; None is to be passed over."""
        self._attempts.begun()
        event = self._call.read(message)
        if event is not None:
            self._add(event)
        return event

    def generation(self, *, was_cancelled: bool) -> Generation:
        """The whole answer, once the stream has ended.

        Raises:
            ServiceError: it failed, or ended without all its parts.
        """
        if self.error is not None:
            raise self.error
        if self._started is None or self._finished is None or self._usage is None:
            if was_cancelled:
                raise stream_cancelled()
            raise EngineFault("the server ended the stream before its answer")
        return Generation(
            text=self.text,
            started=self._started,
            finished=self._finished,
            usage=self._usage,
            tokens=tuple(self._tokens),
        )

    def _add(self, event: Event) -> None:
        match event:
            case Started():
                self._started = event
            case TextDelta():
                self._texts.append(event.text)
                self._tokens += event.tokens
            case Finished():
                self._finished = event
            case Usage():
                self._usage = event
            case _:
                assert_never(event)
