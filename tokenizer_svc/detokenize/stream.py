"""One Detokenize stream: works on its sessions in order, off the event loop where it is long."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from steeple_rpc.outbox import Outbox
from tokenizer_svc.detokenize.commands import Command, Update
from tokenizer_svc.detokenize.session_values import Progress
from tokenizer_svc.detokenize.sessions import SessionTable

MAX_INLINE_STEPS = 128
"""So much work is done on the event loop: a trip to a thread would take longer."""
MAX_WAITING_BYTES = 64 << 20
"""Of all sessions of one gateway; its outbox is many times that of one request."""
_UPDATE_BYTES = 32
_TOKEN_BYTES = 16


@dataclass(frozen=True, slots=True)
class Draining:
    """The service is shutting down."""


Notice = Update | Draining


class DetokenizeStream:
    """Owns the sessions of one stream and what waits to be sent about them.

    `outbox` gives the notices; it is closed when the stream should end. A gateway that takes none
    for too long, or leaves too many waiting, ends its stream with the outbox's error.

    Args:
        table: empty; used by nobody else.
        executor: for work that takes long.
        clock: monotonic seconds.
        max_waiting_bytes: what the outbox may hold.
    """

    def __init__(
        self,
        table: SessionTable,
        executor: Executor,
        clock: Callable[[], float],
        *,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        self.outbox: Outbox[Notice] = Outbox(clock, max_bytes=max_waiting_bytes)
        self._table = table
        self._executor = executor
        self._clock = clock
        # A long job of one message must be over before anything else touches the sessions.
        self._turn = asyncio.Lock()
        self._is_draining = False

    @property
    def num_sessions(self) -> int:
        """Sessions that are open."""
        return len(self._table)

    async def take(self, commands: Sequence[Command]) -> None:
        """Do the commands of one message; nothing once the stream has ended."""
        async with self._turn:
            if not self.outbox.is_closed:
                self._tell(await self._applied(commands))

    async def expire(self) -> None:
        """End the sessions that were left alone for too long; nothing once the stream has ended."""
        async with self._turn:
            # A job that its stream left behind may still be at work on the sessions.
            if not self.outbox.is_closed:
                self._tell(self._table.expire(self._clock()))

    async def drain(self) -> None:
        """Tell the gateway to go elsewhere; end when the last session has ended."""
        async with self._turn:
            self._is_draining = True
            self._table.refuse_new()
            self._put(Draining(), _UPDATE_BYTES)
            self._tell([])

    async def _applied(self, commands: Sequence[Command]) -> list[Update]:
        now = self._clock()
        if sum(command.num_steps for command in commands) <= MAX_INLINE_STEPS:
            return self._table.apply(commands, now)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._table.apply, commands, now)

    def _tell(self, updates: Sequence[Update]) -> None:
        for update in updates:
            if not self._put(update, _size_bytes(update)):
                return
        if self._is_draining and len(self._table) == 0:
            self.outbox.close()

    def _put(self, notice: Notice, size_bytes: int) -> bool:
        """Send a notice; False once the stream has ended, and then its sessions are over too."""
        is_taken = self.outbox.put(notice, size_bytes)
        if not is_taken:
            self._table.clear()
        return is_taken


def _size_bytes(update: Update) -> int:
    if not isinstance(update.outcome, Progress):
        return _UPDATE_BYTES + len(update.outcome.message.encode())
    tokens = sum(_TOKEN_BYTES + len(token.text.encode()) for token in update.outcome.tokens)
    asides = sum(_TOKEN_BYTES + len(text.encode()) for text in update.outcome.aside_texts)
    return _UPDATE_BYTES + len(update.outcome.text.encode()) + tokens + asides
