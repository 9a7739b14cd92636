"""The tokens of one output, from whichever engine computes them.

Every id that came is kept. An engine that is lost is replaced by one that serves the same model:
it gets the prompt and the ids so far, and goes on at the next position. A position that is not the
next one is the engine's fault and never passed on.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Protocol

from gateway.catalog import Catalog, EngineState
from gateway.changes import Changes
from gateway.takeover import Takeovers
from gateway.upstream_values import EngineFacts, EngineRequest, EngineUpdate
from gateway.values import FinishReason
from steeple_rpc.errors import Aborted, DeadlineExpired, EngineFault, ServiceError, Unavailable
from steeple_rpc.telemetry import logger


class TokenSource(Protocol):
    """The part of an engine's client that computes requests."""

    async def generate(
        self,
        request: EngineRequest,
        timeout_s: float | None,
        take: Callable[[EngineUpdate], bool],
    ) -> None:
        """Produce one output; leaving in any way ends it on the engine.

        `take` gets every update in order until it says False; what it raises ends the request.
        """


class RunningEngine(Protocol):
    """One engine as a request needs it."""

    @property
    def client(self) -> TokenSource:
        """What computes."""

    def attempt(self) -> AbstractAsyncContextManager[None]:
        """Count a request while in the block; leaves it with Unavailable if the engine stalls."""


class EnginePool(Protocol):
    """Where engines are found."""

    @property
    def engines(self) -> Sequence[RunningEngine]:
        """All of them, by the catalog's index."""

    @property
    def changes(self) -> Changes:
        """Told when the catalog may have changed."""

    def catalog(self) -> Catalog:
        """Which of them serve now."""


class EngineRun:
    """One output of one request; `run` once.

    Args:
        request: with the id of the first attempt, which ends in #1, and without prior output.
        promised: what was served when the request came.
        pool: where engines are found.
        takeovers: none begun.
        clock: monotonic seconds.
        deadline_s: when the caller stops waiting, on the clock.
    """

    def __init__(
        self,
        request: EngineRequest,
        promised: EngineFacts,
        pool: EnginePool,
        takeovers: Takeovers,
        clock: Callable[[], float],
        *,
        deadline_s: float,
    ) -> None:
        self._request = request
        self._promised = promised
        self._pool = pool
        self._takeovers = takeovers
        self._clock = clock
        self._deadline_s = deadline_s
        self._start_s = clock()
        self._num_attempts = 0
        self._started: EngineUpdate | None = None
        self._has_begun = False
        self._has_ended = False
        self._received: list[int] = []
        self._failed: set[str] = set()

    async def run(self, take: Callable[[EngineUpdate], bool]) -> None:
        """Produce the output to its end, or until it is no longer wanted.

        Args:
            take: gets every update in order, positions without gap or double; a start again from
                each further engine. False = nothing more is wanted.

        Raises:
            ServiceError: the request failed, or no engine is left for it.
        """
        state = await self._first_engine()
        model = state.facts
        while True:
            try:
                async with self._pool.engines[state.index].attempt():
                    return await self._attempt(state, take)
            except ServiceError as error:
                # What becomes of an engine after it told the end is nobody's matter.
                if self._has_ended:
                    return None
                self._note(error, state)
            successor = await self._successor(model)
            end = self._known_end()
            if end is not None:
                take(end)
                return None
            if successor is None:
                raise self._takeovers.too_late()
            state = successor

    async def _first_engine(self) -> EngineState:
        """The least loaded one; where none serves any more since the request came, the next."""
        try:
            return self._pool.catalog().pick(self._request.model)
        except Unavailable as error:
            self._takeovers.begin(error, self._clock())
        state = await self._successor(self._promised)
        if state is None:
            raise self._takeovers.too_late()
        return state

    async def _attempt(self, state: EngineState, take: Callable[[EngineUpdate], bool]) -> None:
        """Let one engine compute."""
        self._has_begun = self._has_ended = False
        is_wanted = True
        timeout_s = self._deadline_s - self._clock()
        if timeout_s <= 0:
            raise DeadlineExpired("the request took too long")
        self._num_attempts += 1

        def receive(update: EngineUpdate) -> bool:
            nonlocal is_wanted
            self._check(update)
            self._keep(update)
            is_wanted = take(update)
            self._has_ended = update.finish_reason is not None
            return is_wanted

        client = self._pool.engines[state.index].client
        await client.generate(self._request_now(), timeout_s, receive)
        if is_wanted and not self._has_ended:
            raise _bad("the engine's stream ended early")

    def _check(self, update: EngineUpdate) -> None:
        """Refuse what no engine of ours tells."""
        if update.is_first and self._has_begun:
            raise _bad("the engine told the start twice")
        if not (update.is_first or self._has_begun):
            if update.finish_reason is not FinishReason.ABORTED:
                raise _bad("the engine did not tell the start first")
            if self._started is None:
                raise Aborted("the request was aborted before it started")
        if update.token_ids and update.first_position != len(self._received):
            raise _bad(
                f"the engine's tokens start at position {update.first_position};"
                f" {len(self._received)} came before"
            )

    def _keep(self, update: EngineUpdate) -> None:
        if not self._has_begun and self._num_attempts > 1:
            self._takeovers.succeed()
        self._has_begun = True
        self._started = self._started or update
        self._received += update.token_ids

    def _note(self, error: ServiceError, state: EngineState) -> None:
        """Take note of an attempt's end; raises what the request ends with, if it does."""
        self._takeovers.note(
            error,
            self._clock(),
            has_begun=self._has_begun,
            was_begun=self._started is not None,
        )
        self._failed.add(state.facts.instance_id)
        logger().warning(
            "engine_attempt_failed",
            engine_request_id=self._attempt_id(),
            reason=error.reason,
            num_takeovers=self._takeovers.num_begun,
            num_received=len(self._received),
        )

    async def _successor(self, model: EngineFacts) -> EngineState | None:
        """An engine that can go on where the last one ended; waits for it, None if none came.

        Those that failed are left alone for a while: what is known of them may be old.

        Raises:
            ServiceError: nobody waits for it: see `Takeovers.check_may_wait`.
        """
        due = self._clock() + self._takeovers.next_pause_s()
        while self._known_end() is None and (left_s := self._left_s()) > 0:
            pause_s = due - self._clock()
            if pause_s <= 0:
                self._failed.clear()
            successor = self._pool.catalog().successor(model, avoiding=self._failed)
            if successor is not None:
                return successor
            self._takeovers.check_may_wait(has_started=self._started is not None)
            await self._pool.changes.wait(min(left_s, pause_s) if pause_s > 0 else left_s)
        return None

    def _left_s(self) -> float:
        """What is left to find an engine; a time limit of the request's may be shorter."""
        left_s = self._takeovers.left_s(self._clock())
        limit_ms = self._time_left_ms()
        return left_s if limit_ms is None else min(left_s, limit_ms / 1e3)

    def _known_end(self) -> EngineUpdate | None:
        """The end that the lost engine did not come to tell; None if the output goes on."""
        if self._started is None:
            return None
        limit = (self._started.stopping or {}).get("max_tokens")
        if isinstance(limit, int) and len(self._received) >= limit:
            return self._end(FinishReason.MAX_TOKENS)
        if self._time_left_ms() == 0:
            return self._end(FinishReason.TIME_LIMIT)
        return None

    def _end(self, reason: FinishReason) -> EngineUpdate:
        return EngineUpdate(first_position=len(self._received), finish_reason=reason)

    def _request_now(self) -> EngineRequest:
        """The request for the next engine: what the first one used, and all that came of it."""
        if self._num_attempts == 1:
            return self._request
        started = self._started or EngineUpdate()
        stopping = {**self._request.stopping, **(started.stopping or {})}
        left_ms = self._time_left_ms()
        if left_ms is not None:
            stopping["time_limit_ms"] = max(1, left_ms)
        return replace(
            self._request,
            request_id=self._attempt_id(),
            sampling={**self._request.sampling, **(started.sampling or {})},
            stopping=stopping,
            prior_output_token_ids=tuple(self._received),
        )

    def _attempt_id(self) -> str:
        return f"{self._request.request_id.rpartition('#')[0]}#{self._num_attempts}"

    def _time_left_ms(self) -> int | None:
        """What is left of the caller's time limit; None if there is none."""
        limit = self._request.stopping.get("time_limit_ms")
        if not isinstance(limit, int):
            return None
        return max(0, limit - int((self._clock() - self._start_s) * 1e3))


def _bad(message: str) -> EngineFault:
    return EngineFault(message, reason="BAD_ENGINE")
