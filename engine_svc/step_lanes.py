"""One gateway's requests on one stream: what gathered for all of them leaves as one message.

Each keeps an outbox of its own, with its own bounds, so one whose ids nobody takes ends alone.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import dataclass

from engine_svc.core.outputs import RequestOutput
from engine_svc.core.request_spec import RequestSpec
from engine_svc.phases import PhaseSpans
from steeple_rpc.errors import DeadlineExpired, InvalidRequest, ServiceError
from steeple_rpc.observing import Metadata
from steeple_rpc.outbox import Outbox
from steeple_rpc.scrubbed import scrubbed
from steeple_rpc.seen_call import SeenCall
from steeple_rpc.tracing import RpcTrace

METHOD = "/steeple.engine.v1.EngineService/Generate"
"""What a request on the stream is seen as: it is the same wherever it travels."""
MAX_MESSAGE_BYTES = 4 << 20
"""About where a message ends; what is left comes with the next one."""
MAX_TURN_BYTES = 64 << 10
"""Of requests that begin in one turn of the loop: some 20,000 ids take it one or two ms."""
_SUBMIT_BYTES = 1 << 10
"""What one costs beside its ids, as if it were bytes."""
MAX_UNTOLD = 16_384
"""Requests that wait to be told of; no further commands are read meanwhile."""

Begin = Callable[[Callable[[], None]], tuple[RequestSpec, Outbox[RequestOutput]]]
"""Begins a request, given what to call when there is news of it; raises if it is refused."""
See = Callable[[str, Metadata], tuple[SeenCall, RpcTrace]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    """A request begins."""

    number: int
    begin: Begin
    num_bytes: int
    """Of its message: about what it costs to check it."""
    timeout_s: float | None
    """So long its caller waits; None = for ever."""
    metadata: Metadata
    """As that of a call of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """Nobody wants its output any more."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What became known about one request."""

    number: int
    spec: RequestSpec | None
    """None = it was refused."""
    outputs: Sequence[RequestOutput]
    error: ServiceError | None
    """What it failed with, behind the outputs."""


@dataclass(slots=True, eq=False)
class _Lane:
    """One request from its submission until its end was told, or it was left."""

    number: int
    seen: SeenCall
    phases: PhaseSpans
    spec: RequestSpec | None = None
    outbox: Outbox[RequestOutput] | None = None
    error: ServiceError | None = None
    """What it was refused with."""
    timer: asyncio.TimerHandle | None = None
    is_over: bool = False


class StepLanes:
    """The requests of one StepStream.

    Args:
        release: ends a request; idempotent.
        see: begins to show one to logs, metrics and traces.
    """

    def __init__(self, release: Callable[[RequestSpec], None], see: See) -> None:
        self._release = release
        self._see = see
        self._lanes: dict[int, _Lane] = {}
        # In the order of their news, each once.
        self._told: dict[_Lane, None] = {}
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._is_ending = False

    @property
    def num_requests(self) -> int:
        """Requests whose end was not told yet."""
        return len(self._lanes)

    async def take(self, commands: Iterable[Submit | Leave]) -> None:
        """Do the commands of one message; what there is to tell is told in between.

        Raises:
            InvalidRequest: one of them begins a request twice.
        """
        num_bytes = 0
        for command in commands:
            await self._room.wait()
            if isinstance(command, Leave):
                self._leave(command.number)
                continue
            self._begin(command)
            num_bytes += _SUBMIT_BYTES + command.num_bytes
            if num_bytes >= MAX_TURN_BYTES:
                num_bytes = 0
                await asyncio.sleep(0)

    async def messages(self) -> AsyncGenerator[list[News], None]:
        """What is to be told, message by message, until the end; never empty."""
        while not (self._is_ending and not self._lanes):
            await self._news.wait()
            # As an outbox does: where the loop is busy, the next step's tokens come within it.
            await asyncio.sleep(0)
            self._news.clear()
            if news := self._gather():
                yield news

    def end(self) -> None:
        """Begin nothing more; `messages` ends when the end of the last request was told."""
        self._is_ending = True
        self._news.set()

    def close(self) -> None:
        """Whoever was told is gone: end everything that still runs. Idempotent."""
        for number in tuple(self._lanes):
            self._leave(number)

    def _begin(self, submit: Submit) -> None:
        number, timeout_s = submit.number, submit.timeout_s
        if number in self._lanes:
            raise InvalidRequest(
                f"number {number} is that of a live request", field="commands.number"
            )
        seen, trace = self._see(METHOD, submit.metadata)
        lane = _Lane(number, seen, PhaseSpans(trace))
        self._lanes[number] = lane
        try:
            lane.spec, lane.outbox = submit.begin(lambda: self._tell(lane))
        except Exception as error:  # noqa: BLE001 - of one request: the others go on
            lane.error = scrubbed(error, METHOD)
            self._tell(lane)
            return
        if timeout_s is not None:
            loop = asyncio.get_running_loop()
            lane.timer = loop.call_later(timeout_s, self._expire, lane)

    def _expire(self, lane: _Lane) -> None:
        # It is released when that is told; should nobody read, its next token ends it.
        if lane.outbox is not None:
            lane.outbox.close(DeadlineExpired("the request took too long"))

    def _tell(self, lane: _Lane) -> None:
        """There is news of a request."""
        if lane.is_over:
            return
        self._told[lane] = None
        if len(self._told) >= MAX_UNTOLD:
            self._room.clear()
        self._news.set()

    def _leave(self, number: int) -> None:
        lane = self._lanes.get(number)
        if lane is not None:
            self._told.pop(lane, None)
            self._forget(lane)
            lane.seen.leave()

    def _gather(self) -> list[News]:
        """One message with what there is; wakes itself for what is left."""
        gathered: list[News] = []
        num_bytes = 0
        for lane in tuple(self._told):
            if num_bytes >= MAX_MESSAGE_BYTES:
                self._news.set()
                break
            del self._told[lane]
            num_bytes += lane.outbox.num_bytes if lane.outbox is not None else 0
            gathered.append(self._news_of(lane))
        if len(self._told) < MAX_UNTOLD:
            self._room.set()
        return gathered

    def _news_of(self, lane: _Lane) -> News:
        outbox = lane.outbox
        outputs = outbox.take() if outbox is not None else []
        error = outbox.error if outbox is not None else lane.error
        lane.phases.note(outputs)
        if outbox is None or outbox.is_closed:
            self._forget(lane)
            lane.seen.end(error)
        return News(number=lane.number, spec=lane.spec, outputs=outputs, error=error)

    def _forget(self, lane: _Lane) -> None:
        lane.is_over = True
        del self._lanes[lane.number]
        if lane.timer is not None:
            lane.timer.cancel()
        if lane.spec is not None:
            self._release(lane.spec)
        self._news.set()
