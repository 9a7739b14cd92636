"""The front's state: which requests are live, where their outputs go, how the core is.

Owns the core's life: starts it, replaces it with growing pauses when it dies, ends it.
"""

import asyncio
import itertools
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import assert_never

from engine_svc.core.messages import (
    AbortRequests,
    AddRequest,
    CoreConfig,
    EngineInfo,
    Event,
    Failed,
    Loading,
    Ready,
    StepOutputs,
)
from engine_svc.core.outputs import RequestOutput, RowFault
from engine_svc.core.params import FinishReason, RequestId
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core_link import CoreLost, EngineCore
from engine_svc.core_watch import CoreWatch
from steeple_rpc import errors
from steeple_rpc.lifecycle import OnReady
from steeple_rpc.outbox import Outbox
from steeple_rpc.telemetry import logger

FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 30.0
_TOKEN_BYTES = 4
_LOGPROB_BYTES = 8
_OUTPUT_BYTES = 64


class StartupRefused(Exception):
    """The core cannot serve its configuration; the message names the remedy."""


class EngineFront:
    """Live requests of one engine and the core that serves them.

    Args:
        make_core: makes a new core, not started.
        config: what the core serves.
        environment: for a core that is a process.
        max_num_waiting: most requests beyond those that run.
        startup_timeout_s: how long loading and warm-up may take.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        make_core: Callable[[], EngineCore],
        config: CoreConfig,
        *,
        environment: Mapping[str, str],
        max_num_waiting: int,
        startup_timeout_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._make_core = make_core
        self._config = config
        self._environment = environment
        self._max_num_waiting = max_num_waiting
        self._startup_timeout_s = startup_timeout_s
        self._clock = clock
        self._watch = CoreWatch()
        self._core: EngineCore | None = None
        self._serials = itertools.count(1)
        self._core_ids: dict[RequestId, RequestId] = {}
        self._outboxes: dict[RequestId, Outbox[RequestOutput]] = {}
        self._last_step = clock()
        self.load: StepOutputs | None = None
        self.info: EngineInfo | None = None
        self.instance_id = ""
        """Drawn anew for each core that became ready."""
        self.is_draining = False

    def follow(self, watch: CoreWatch) -> None:
        """Tell `watch` from now on what the core does."""
        self._watch = watch

    def drain(self) -> None:
        """Take no new requests; the live ones go on."""
        self.is_draining = True

    @property
    def since_last_step_s(self) -> float:
        """Seconds since the core last told anything; 0 while it has nothing to do."""
        return self._clock() - self._last_step if self._outboxes else 0.0

    def submit(self, spec: RequestSpec) -> Outbox[RequestOutput]:
        """Pass a checked request to the core; its outputs come through the outbox.

        Raises:
            Unavailable: starting or draining.
            Overloaded: as many requests are live as may be.
            AlreadyExists: a live request has this id.
        """
        if self.is_draining:
            raise errors.Unavailable("the engine is draining", reason="DRAINING")
        if self._core is None or self.info is None:
            raise errors.Unavailable("the engine is starting", reason="STARTING")
        # The policy may have settled another max_num_seqs than was asked for.
        max_live = self.info.max_num_seqs + self._max_num_waiting
        if len(self._outboxes) >= max_live:
            raise errors.Overloaded(
                f"{len(self._outboxes)} requests are live; the limit is {max_live}",
                reason="QUEUE_FULL",
                retry_after_s=1.0,
            )
        if spec.request_id in self._core_ids:
            raise errors.AlreadyExists(
                "a live request has this id", reason="REQUEST_EXISTS", field="request_id"
            )
        if not self._outboxes:
            self._last_step = self._clock()
        # A name that a caller uses again must not get what a step still computes for the old one.
        core_id = RequestId(str(next(self._serials)))
        outbox = Outbox[RequestOutput](self._clock)
        self._core_ids[spec.request_id] = core_id
        self._outboxes[core_id] = outbox
        self._core.send(AddRequest(spec=replace(spec, request_id=core_id)))
        return outbox

    def release(self, request_id: RequestId) -> None:
        """The caller is gone or done: abort what still runs. Idempotent."""
        core_id = self._core_ids.pop(request_id, None)
        if core_id is not None:
            self._abort(core_id)

    def _abort(self, core_id: RequestId) -> None:
        """End what still runs; nothing more is delivered for it."""
        if self._outboxes.pop(core_id, None) is not None and self._core is not None:
            self._core.send(AbortRequests(request_ids=(core_id,)))

    def abort(self, request_ids: Iterable[RequestId]) -> None:
        """End requests for somebody other than their caller, who is told. Idempotent."""
        for request_id in request_ids:
            core_id = self._core_ids.get(request_id)
            outbox = self._outboxes.get(core_id) if core_id is not None else None
            if core_id is not None and outbox is not None:
                ended = RequestOutput(request_id=core_id, finish_reason=FinishReason.ABORTED)
                outbox.put(ended, _OUTPUT_BYTES)
                outbox.close()
                self._abort(core_id)

    async def run(self, on_ready: OnReady) -> None:
        """Keep a core alive until cancelled.

        Args:
            on_ready: told whenever readiness changes.

        Raises:
            StartupRefused: the configuration can never be served.
        """
        pause = FIRST_PAUSE_S
        while True:
            try:
                await self._run_core(on_ready)
            except CoreLost:
                was_ready = self.info is not None
                await self._lose_core(on_ready)
                pause = FIRST_PAUSE_S if was_ready else min(2 * pause, MAX_PAUSE_S)
                logger().error("core_lost", restart_in_s=pause)
                await asyncio.sleep(pause)

    async def _run_core(self, on_ready: OnReady) -> None:
        core = self._make_core()
        try:
            async with asyncio.timeout(self._startup_timeout_s) as patience:
                await core.start(self._config, self._environment)
                self._core = core
                async for event in core.events():
                    if isinstance(event, Ready):
                        patience.reschedule(None)
                    await self._handle(event, on_ready)
        except TimeoutError:
            raise StartupRefused(
                f"the core was not ready within {self._startup_timeout_s:g} s: raise"
                " --startup-timeout-s"
            ) from None
        finally:
            await core.stop()

    async def _lose_core(self, on_ready: OnReady) -> None:
        self._core = self.info = self.load = None
        self._watch.core_lost()
        await on_ready(ready=False)
        outboxes, self._outboxes = self._outboxes, {}
        for outbox in outboxes.values():
            outbox.close(
                errors.Unavailable("the engine was lost while it ran this", reason="ENGINE_LOST")
            )

    async def _handle(self, event: Event, on_ready: OnReady) -> None:
        self._last_step = self._clock()
        match event:
            case StepOutputs():
                self.load = event
                self._watch.stepped(event)
                for output in event.outputs:
                    self._deliver(output)
            case Loading():
                logger().info("loading", stage=event.stage, done=event.done, total=event.total)
            case Ready():
                self.info = event.info
                self.instance_id = secrets.token_hex(8)
                await on_ready(ready=True)
            case Failed():
                raise StartupRefused(event.message)
            case _:
                assert_never(event)

    def _deliver(self, output: RequestOutput) -> None:
        outbox = self._outboxes.get(output.request_id)
        if outbox is None:
            return
        ended = output.finish_reason is not None or output.fault is not None
        if ended:
            del self._outboxes[output.request_id]
        if output.fault is not None:
            outbox.close(_error_of(output.fault))
        elif not outbox.put(output, _size_bytes(output)):
            self._abort(output.request_id)
        elif ended:
            outbox.close()


def _size_bytes(output: RequestOutput) -> int:
    """What an output takes on its way, roughly: log-probabilities are most of it."""
    told = sum(1 + len(position.top) for position in output.logprobs)
    return _OUTPUT_BYTES + _TOKEN_BYTES * len(output.token_ids) + _LOGPROB_BYTES * told


def _error_of(fault: RowFault) -> errors.ServiceError:
    match fault.reason:
        case "NEVER_FITS":
            # What the front checked leaves only this to mend: a prompt that cannot be is gone.
            return errors.InvalidRequest(
                fault.message, reason="REQUEST_NEVER_FITS", field="stopping.max_tokens"
            )
        case "DEADLINE_EXPIRED":
            return errors.DeadlineExpired(fault.message)
        case "NO_TOKEN_LEFT":
            return errors.InvalidRequest(fault.message, reason=fault.reason, field="sampling")
        case _:
            return errors.EngineFault(fault.message, reason=fault.reason)
