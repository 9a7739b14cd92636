"""The sessions of one Detokenize stream: commands in, updates out; pure.

Only this file opens and ends sessions. Time comes in as `now`, monotonic seconds.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import assert_never

from steeple_rpc.errors import (
    AlreadyExists,
    DeadlineExpired,
    InvalidRequest,
    Overloaded,
    ServiceError,
    Unavailable,
)
from tokenizer_svc.detokenize.commands import Close, Command, Malformed, Open, Push, Update
from tokenizer_svc.detokenize.detokenizer import Detokenizer
from tokenizer_svc.detokenize.session import Session
from tokenizer_svc.detokenize.session_values import Progress

NUM_REMEMBERED = 65_536
"""So many ended sessions are known as such; what is late for them is ignored."""


@dataclass(slots=True)
class _Entry:
    session: Session
    last_push: float


class SessionTable:
    """All sessions of one stream.

    Args:
        find: the detokenizer of a served model; raises NotFound for others.
        ttl_s: a session without a push for so long is ended.
        max_sessions: so many may be open at once.
    """

    def __init__(
        self, find: Callable[[str], Detokenizer], *, ttl_s: float, max_sessions: int
    ) -> None:
        self._find = find
        self._ttl_s = ttl_s
        self._max_sessions = max_sessions
        # Ordered by last push, oldest first: what expires is at the front.
        self._open: OrderedDict[int, _Entry] = OrderedDict()
        self._ended: OrderedDict[int, None] = OrderedDict()
        self._is_draining = False

    def __len__(self) -> int:
        return len(self._open)

    def refuse_new(self) -> None:
        """Take no new sessions from now on."""
        self._is_draining = True

    def clear(self) -> None:
        """End every session without a word: nobody listens any more."""
        for number in tuple(self._open):
            self._end(number)

    def apply(self, commands: Sequence[Command], now: float) -> list[Update]:
        """Do the commands in order; what there is to tell about them.

        A fault ends its session and is told as its update; no other session notices.
        """
        updates = []
        for command in commands:
            try:
                outcome: Progress | ServiceError | None = self._apply(command, now)
            except ServiceError as error:
                self._end(command.session)
                outcome = error
            if outcome is not None:
                updates.append(Update(session=command.session, outcome=outcome))
        return updates

    def expire(self, now: float) -> list[Update]:
        """End the sessions that nobody has pushed to for the time to live."""
        updates = []
        while self._open:
            number, entry = next(iter(self._open.items()))
            idle_s = now - entry.last_push
            if idle_s < self._ttl_s:
                break
            self._end(number)
            error = DeadlineExpired(
                f"no token came for {idle_s:.0f} s; the limit is {self._ttl_s:g} s",
                reason="SESSION_EXPIRED",
            )
            updates.append(Update(session=number, outcome=error))
        return updates

    def check_integrity(self) -> None:
        """Assert that the bounds hold, and that no open session is older than its followers."""
        pushes = [entry.last_push for entry in self._open.values()]
        assert pushes == sorted(pushes)  # noqa: S101 - an invariant of this class
        assert len(self._open) <= self._max_sessions  # noqa: S101 - likewise
        assert len(self._ended) <= NUM_REMEMBERED  # noqa: S101 - likewise
        assert not self._open.keys() & self._ended.keys()  # noqa: S101 - likewise

    def _apply(self, command: Command, now: float) -> Progress | None:
        match command:
            case Open():
                return self._start(command, now)
            case Push():
                return self._push(command, now)
            case Close():
                self._end(command.session)
                return None
            case Malformed():
                raise command.error
        assert_never(command)

    def _start(self, command: Open, now: float) -> Progress | None:
        self._check_room(command.session)
        session = Session(
            self._find(command.model),
            command.options,
            prompt_tail_ids=command.prompt_tail_ids,
            prior_output_ids=command.prior_output_ids,
        )
        self._ended.pop(command.session, None)
        self._open[command.session] = _Entry(session, now)
        return self._unless_over(command.session, session.prior_match())

    def _check_room(self, number: int) -> None:
        if number in self._open:
            raise AlreadyExists(
                f"session {number} was open already; it is closed now",
                reason="SESSION_EXISTS",
                field="session",
            )
        if self._is_draining:
            raise Unavailable("the service is shutting down", reason="DRAINING")
        if len(self._open) >= self._max_sessions:
            raise Overloaded(
                f"{self._max_sessions} sessions are open on this stream, which is the limit",
                reason="TOO_MANY_SESSIONS",
            )

    def _push(self, command: Push, now: float) -> Progress | None:
        entry = self._open.get(command.session)
        if entry is None:
            self._check_late(command.session)
            return None
        entry.last_push = now
        self._open.move_to_end(command.session)
        progress = entry.session.push(
            command.ids,
            first_position=command.first_position,
            is_final=command.is_final,
            aside_ids=command.aside_ids,
        )
        return self._unless_over(command.session, progress)

    def _check_late(self, number: int) -> None:
        """Ids may cross the end of their session on the way; other unknown ones are a fault."""
        if number not in self._ended:
            raise InvalidRequest(
                f"session {number} was never opened on this stream",
                reason="UNKNOWN_SESSION",
                field="session",
            )

    def _unless_over(self, number: int, progress: Progress | None) -> Progress | None:
        if progress is not None and progress.is_over:
            self._end(number)
        return progress

    def _end(self, number: int) -> None:
        self._open.pop(number, None)
        self._ended[number] = None
        if len(self._ended) > NUM_REMEMBERED:
            self._ended.popitem(last=False)
