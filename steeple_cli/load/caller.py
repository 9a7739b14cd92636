"""One caller: sends a request, reads its stream, leaves when it is told to."""

import asyncio
import time
from collections.abc import Callable, Sequence

from steeple_cli.load.history import End, History, LoadRequest
from steeple_client import AsyncClient, AsyncGenerationStream, Event, Message
from steeple_rpc.errors import ServiceError

OnEvent = Callable[[LoadRequest, Event], None]


def _ignore(_: LoadRequest, __: Event) -> None:
    pass


class Callers:
    """Sends requests over one or more connections in turn.

    Args:
        clients: at least one; each is one connection.
        clock: seconds. Not an event loop's: that of uvloop counts whole milliseconds.
        on_event: told of each event as it comes.
    """

    def __init__(
        self,
        clients: Sequence[AsyncClient],
        clock: Callable[[], float] = time.monotonic,
        *,
        on_event: OnEvent = _ignore,
    ) -> None:
        self._clients = clients
        self._clock = clock
        self._on_event = on_event
        self._num_sent = 0

    async def send(self, request: LoadRequest) -> History:
        """Send one request and record its stream to the end."""
        client = self._clients[self._num_sent % len(self._clients)]
        self._num_sent += 1
        sent_s = self._clock()
        events: list[tuple[float, Event]] = []
        end, error = End.DONE, None
        try:
            async with _stream(client, request) as stream:
                async for event in stream:
                    events.append((self._clock(), event))
                    self._on_event(request, event)
                    if len(events) == request.leaves_after:
                        end = End.LEFT
                        break
                    if request.pause_s:
                        await asyncio.sleep(request.pause_s)
        except ServiceError as failure:
            end, error = End.FAILED, failure
        return History(
            request=request,
            sent_s=sent_s,
            events=tuple(events),
            ended_s=self._clock(),
            end=end,
            error=error,
        )


def _stream(client: AsyncClient, request: LoadRequest) -> AsyncGenerationStream:
    prompt = request.prompt
    if isinstance(prompt, str):
        return client.generate_stream(prompt, **request.options)
    turns = [part for part in prompt if isinstance(part, Message)]
    if turns:
        return client.chat_stream(turns, **request.options)
    ids = [part for part in prompt if isinstance(part, int)]
    return client.generate_stream(ids, **request.options)
