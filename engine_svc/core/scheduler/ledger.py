"""Every live request, from acceptance to its end: what all policies share.

    add → waiting → start → running → end     expired, aborted, failed, out of time: from anywhere
             ↑                 │
             └──── preempt ────┘

Policies decide who starts and own the blocks; only this file changes a request's status and turns
the tokens of a step into outputs.
"""

from collections.abc import Callable
from dataclasses import replace

from engine_svc.core.finish import Ending, ending_of, time_ending_of
from engine_svc.core.outputs import (
    RequestOutput,
    RowFault,
    RunnerOutput,
    ScheduledSequence,
    SchedulerOutput,
)
from engine_svc.core.params import FinishReason, RequestId
from engine_svc.core.request import Request, RequestStatus
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core.scheduler.queue import WaitingQueue
from engine_svc.core.scheduler.timers import Timers

EXPIRED = RowFault(reason="DEADLINE_EXPIRED", message="the deadline passed before it was computed")
NOTHING_COMPUTED = RunnerOutput(token_ids={})

Release = Callable[[Request], None]
"""The policy's part of leaving: forget the request, take its blocks back."""


class Ledger:
    """The live requests of one scheduler.

    Args:
        max_model_len: prompt and output never become longer.
        release: called whenever a request that runs ends or is preempted.
    """

    def __init__(self, *, max_model_len: int, release: Release) -> None:
        self._max_model_len = max_model_len
        self._release = release
        self._requests: dict[RequestId, Request] = {}
        self._ended: list[RequestId] = []
        self._time_limits = Timers(lambda request: request.status is not RequestStatus.FINISHED)
        self._preempted: list[RequestId] = []
        self._num_added = 0
        self.waiting = WaitingQueue()
        self.num_preemptions = 0
        self.num_prompt_tokens = 0
        """Of all requests that have run."""
        self.num_cached_prompt_tokens = 0
        """Of those, the ones that the prefix cache spared."""

    def __len__(self) -> int:
        return len(self._requests)

    def __getitem__(self, request_id: RequestId) -> Request:
        return self._requests[request_id]

    def add(self, spec: RequestSpec, now: float) -> None:
        """Accept a request; it waits."""
        request = Request(spec=spec, arrival=now, arrival_idx=self._num_added)
        self._num_added += 1
        self._requests[request.request_id] = request
        self.waiting.push(request)
        if request.time_limit is not None:
            self._time_limits.set(request.time_limit, request)

    def start(self, request: Request, now: float) -> None:
        """Let a waiting request run; one that was preempted goes on."""
        self.waiting.remove(request)
        request.status = RequestStatus.RUNNING
        if request.first_scheduled is None:
            request.first_scheduled = now

    def preempt(self, request: Request) -> None:
        """Let a running request wait again, in its turn, with all its tokens to compute."""
        self._release(request)
        request.status = RequestStatus.WAITING
        request.num_computed_tokens = 0
        request.block_table = ()
        request.num_reserved_blocks = 0
        request.num_published_blocks = 0
        self.waiting.put_back(request)
        self._preempted.append(request.request_id)
        self.num_preemptions += 1

    def end(self, request: Request) -> None:
        """Let a request go, wherever it is."""
        is_running = request.status is RequestStatus.RUNNING
        if is_running or request.has_run:
            self._ended.append(request.request_id)
        if is_running:
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
        """End the requests whose time limit is over, and those that wait past their deadline."""
        limited = [self._out_of_time(request, now) for request in self._time_limits.due(now)]
        failed = [self._failed(request, EXPIRED) for request in self.waiting.expired(now)]
        return (*limited, *failed)

    def take_ended(self) -> tuple[RequestId, ...]:
        """Requests that had run and ended since the last call."""
        ended, self._ended = tuple(self._ended), []
        return ended

    def take_preempted(self) -> tuple[RequestId, ...]:
        """Requests that were preempted since the last call."""
        preempted, self._preempted = tuple(self._preempted), []
        return preempted

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
        if is_first := not request.has_run:
            self._note_first_run(request)
        request.num_computed_tokens = sequence.next_position
        if (fault := result.faults.get(request.request_id)) is not None:
            return self._failed(request, fault)
        if sequence.sample is not None:
            return self._advanced(request, result, now, is_first=is_first)
        ending = time_ending_of(request, now)
        if is_first or ending is not None:
            return self._told(_update(request, is_first=is_first), request, ending, now)
        return None

    def _note_first_run(self, request: Request) -> None:
        request.has_run = True
        self.num_prompt_tokens += request.spec.num_prompt_tokens
        self.num_cached_prompt_tokens += request.num_cached_tokens

    def _advanced(
        self, request: Request, result: RunnerOutput, now: float, *, is_first: bool
    ) -> RequestOutput:
        update = _update(request, result, is_first=is_first)
        request.append(update.token_ids)
        if request.first_token is None:
            request.first_token = now
        ending = ending_of(request, max_model_len=self._max_model_len, now=now)
        return self._told(update, request, ending, now)

    def _out_of_time(self, request: Request, now: float) -> RequestOutput:
        """End a request between two steps. One that never ran is told to have started, too."""
        is_first = not request.has_run
        if is_first:
            request.first_scheduled = now
        ending = Ending(reason=FinishReason.TIME_LIMIT)
        return self._told(_update(request, is_first=is_first), request, ending, now)

    def _told(
        self, update: RequestOutput, request: Request, ending: Ending | None, now: float
    ) -> RequestOutput:
        """The update, and the end with its times if there is one."""
        if ending is None:
            return update
        self.end(request)
        started = now if request.first_scheduled is None else request.first_scheduled
        first_token = now if request.first_token is None else request.first_token
        return replace(
            update,
            finish_reason=ending.reason,
            stop_token_id=ending.stop_token_id,
            prefill_s=first_token - started,
            decode_s=now - first_token,
        )

    def _failed(self, request: Request, fault: RowFault) -> RequestOutput:
        self.end(request)
        return RequestOutput(request_id=request.request_id, fault=fault)


def _update(
    request: Request, result: RunnerOutput = NOTHING_COMPUTED, *, is_first: bool
) -> RequestOutput:
    """What is told of a request in any case: its new tokens come after those it has."""
    scheduled = request.arrival if request.first_scheduled is None else request.first_scheduled
    return RequestOutput(
        request_id=request.request_id,
        first_position=request.num_output_tokens,
        token_ids=result.token_ids.get(request.request_id, ()),
        logprobs=result.logprobs.get(request.request_id, ()),
        is_first=is_first,
        queue_s=scheduled - request.arrival,
        num_cached_tokens=request.num_cached_tokens,
    )
