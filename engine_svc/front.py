"""The front's state: which requests are live and where their outputs go."""

import itertools
import secrets
from collections.abc import Callable, Iterable
from dataclasses import replace

from engine_svc.core.messages import (
    AbortRequests,
    AddRequest,
    EngineInfo,
    StepOutputs,
)
from engine_svc.core.outputs import RequestOutput, RowFault
from engine_svc.core.params import FinishReason, RequestId
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core_keeper import CoreKeeper
from engine_svc.core_link import CoreLost, CoreStalled
from engine_svc.core_watch import CoreWatch
from steeple_rpc import errors
from steeple_rpc.lifecycle import OnReady
from steeple_rpc.outbox import Outbox

_TOKEN_BYTES = 4
_LOGPROB_BYTES = 8
_OUTPUT_BYTES = 64


class EngineFront:
    """Live requests of one engine and the core that serves them.

    Args:
        keeper: of the core.
        max_num_waiting: most requests beyond those that run.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        keeper: CoreKeeper,
        *,
        max_num_waiting: int,
        clock: Callable[[], float],
    ) -> None:
        self._keeper = keeper
        self._max_num_waiting = max_num_waiting
        self._clock = clock
        self._on_ready: OnReady = _nobody
        self._watch = CoreWatch()
        self._serials = itertools.count(1)
        self._core_ids: dict[RequestId, RequestId] = {}
        self._outboxes: dict[RequestId, Outbox[RequestOutput]] = {}
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
        return self._keeper.silent_s

    def submit(
        self, spec: RequestSpec, wake: Callable[[], None] | None = None
    ) -> Outbox[RequestOutput]:
        """Pass a checked request to the core; its outputs come through the outbox.

        Args:
            spec: the request.
            wake: see `Outbox`.

        Raises:
            Unavailable: starting or draining.
            Overloaded: as many requests are live as may be.
            AlreadyExists: a live request has this id.
        """
        if self.is_draining:
            raise errors.Unavailable("the engine is draining", reason="DRAINING")
        if self.info is None:
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
        # A name that a caller uses again must not get what a step still computes for the old one.
        core_id = RequestId(str(next(self._serials)))
        outbox = Outbox[RequestOutput](self._clock, wake=wake)
        self._core_ids[spec.request_id] = core_id
        self._outboxes[core_id] = outbox
        self._keeper.send(AddRequest(spec=replace(spec, request_id=core_id)))
        return outbox

    def release(self, request_id: RequestId) -> None:
        """The caller is gone or done: abort what still runs. Idempotent."""
        core_id = self._core_ids.pop(request_id, None)
        if core_id is not None:
            self._abort(core_id)

    def _abort(self, core_id: RequestId) -> None:
        """End what still runs; nothing more is delivered for it."""
        if self._outboxes.pop(core_id, None) is not None:
            self._keeper.send(AbortRequests(request_ids=(core_id,)))

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
        """Serve until cancelled; a core that is lost is replaced.

        Args:
            on_ready: told whenever readiness changes.

        Raises:
            StartupRefused: the configuration can never be served.
        """
        self._on_ready = on_ready
        await self._keeper.run(self)

    async def core_ready(self, info: EngineInfo) -> None:
        """See `CoreUser`."""
        self.info = info
        self.instance_id = secrets.token_hex(8)
        await self._on_ready(ready=True)

    def core_told(self, outputs: StepOutputs) -> bool:
        """See `CoreUser`: the core owes something while any request is live."""
        self.load = outputs
        self._watch.stepped(outputs)
        for output in outputs.outputs:
            self._deliver(output)
        return bool(self._outboxes)

    async def core_lost(self, error: CoreLost) -> None:
        """See `CoreUser`: all requests end; others may serve them now."""
        self.info = self.load = None
        self._watch.core_lost()
        outboxes, self._outboxes = self._outboxes, {}
        told = _error_of_loss(error)
        for outbox in outboxes.values():
            outbox.close(told)
        await self._on_ready(ready=False)

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


async def _nobody(*, ready: bool) -> None:
    """Stands for whoever is told of readiness until `run` names it."""


def _error_of_loss(error: CoreLost) -> errors.Unavailable:
    if isinstance(error, CoreStalled):
        return errors.Unavailable("the engine does not answer", reason="ENGINE_STALLED")
    return errors.Unavailable("the engine was lost while it ran this", reason="ENGINE_LOST")


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
