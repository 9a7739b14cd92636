"""Every live request, from acceptance to its end: what all policies share.

    add → waiting → start → running → end            expired, aborted, failed: end from anywhere

Policies decide who starts and own the blocks; only this file changes a request's status and turns
the tokens of a step into outputs.
"""

from collections.abc import Callable

from engine_svc.core.finish import ending_of
from engine_svc.core.outputs import (
    RequestOutput,
    RowFault,
    RunnerOutput,
    ScheduledSequence,
    SchedulerOutput,
)
from engine_svc.core.params import RequestId, TokenId
from engine_svc.core.request import Request, RequestStatus
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core.scheduler.queue import WaitingQueue

EXPIRED = RowFault(reason="DEADLINE_EXPIRED", message="the deadline passed before it was computed")

Release = Callable[[Request], None]
"""The policy's part of an end: forget the request, take its blocks back."""


class Ledger:
    """The live requests of one scheduler.

    Args:
        max_model_len: prompt and output never become longer.
        release: called once for each request that ends after it was started.
    """

    def __init__(self, *, max_model_len: int, release: Release) -> None:
        self._max_model_len = max_model_len
        self._release = release
        self._requests: dict[RequestId, Request] = {}
        self._ended: list[RequestId] = []
        self.waiting = WaitingQueue()

    def __len__(self) -> int:
        return len(self._requests)

    def __getitem__(self, request_id: RequestId) -> Request:
        return self._requests[request_id]

    def add(self, spec: RequestSpec, now: float) -> None:
        """Accept a request; it waits."""
        request = Request(spec=spec, arrival=now)
        self._requests[request.request_id] = request
        self.waiting.push(request)

    def start(self, request: Request, now: float) -> None:
        """Let a waiting request run."""
        self.waiting.remove(request)
        request.status = RequestStatus.RUNNING
        request.first_scheduled = now

    def end(self, request: Request) -> None:
        """Let a request go, wherever it is."""
        if request.status is RequestStatus.RUNNING:
            self._ended.append(request.request_id)
            self._release(request)
        else:
            self.waiting.remove(request)
        del self._requests[request.request_id]
        request.status = RequestStatus.FINISHED

    def abort(self, request_ids: tuple[RequestId, ...]) -> tuple[RequestId, ...]:
        """End the requests that are known; tells them."""
        known = tuple(i for i in request_ids if i in self._requests)
        for request_id in known:
            self.end(self._requests[request_id])
        return known

    def expire(self, now: float) -> tuple[RequestOutput, ...]:
        """End the requests that still wait although their deadline has passed."""
        return tuple(self._failed(request, EXPIRED) for request in self.waiting.expired(now))

    def take_ended(self) -> tuple[RequestId, ...]:
        """Requests that had run and ended since the last call."""
        ended, self._ended = tuple(self._ended), []
        return ended

    def close(
        self, step: SchedulerOutput, result: RunnerOutput, now: float
    ) -> tuple[RequestOutput, ...]:
        """Append a step's tokens and end what is done.

        Args:
            step: no request of it was aborted since it was decided.
            result: its tokens and faults.
            now: when it was done.
        """
        outputs = (self._closed(sequence, result, now) for sequence in step.sequences)
        return tuple(output for output in outputs if output is not None)

    def _closed(
        self, sequence: ScheduledSequence, result: RunnerOutput, now: float
    ) -> RequestOutput | None:
        request = self._requests[sequence.request_id]
        is_first, request.has_run = not request.has_run, True
        request.num_computed_tokens = sequence.next_position
        if (fault := result.faults.get(request.request_id)) is not None:
            return self._failed(request, fault)
        if sequence.sample is not None:
            tokens = result.token_ids[request.request_id]
            return self._advanced(request, tokens, now, is_first=is_first)
        return _started(request) if is_first else None

    def _advanced(
        self, request: Request, tokens: tuple[TokenId, ...], now: float, *, is_first: bool
    ) -> RequestOutput:
        position = request.num_output_tokens
        request.append(tokens)
        if request.first_token is None:
            request.first_token = now
        ending = ending_of(request, max_model_len=self._max_model_len)
        if ending is not None:
            self.end(request)
        return RequestOutput(
            request_id=request.request_id,
            first_position=position,
            token_ids=tokens,
            is_first=is_first,
            queue_s=_queue_s(request),
            num_cached_tokens=request.num_cached_tokens,
            finish_reason=ending.reason if ending else None,
            stop_token_id=ending.stop_token_id if ending else None,
            prefill_s=request.first_token - (request.first_scheduled or 0.0),
            decode_s=now - request.first_token,
        )

    def _failed(self, request: Request, fault: RowFault) -> RequestOutput:
        self.end(request)
        return RequestOutput(request_id=request.request_id, fault=fault)


def _queue_s(request: Request) -> float:
    return (request.first_scheduled or request.arrival) - request.arrival


def _started(request: Request) -> RequestOutput:
    return RequestOutput(
        request_id=request.request_id,
        is_first=True,
        queue_s=_queue_s(request),
        num_cached_tokens=request.num_cached_tokens,
    )
