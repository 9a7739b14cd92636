"""One request while a simulation runs. Becomes a `RequestRecord` at its end."""

from engine_svc.core.outputs import RequestOutput
from engine_svc.core.params import FinishReason
from steeple_cli.planning.record import Cause, Interval, Pause, RequestRecord
from steeple_cli.planning.workload import PlannedRequest


class Journey:
    """What is known of one request so far.

    Args:
        request: what was planned.
        start_s: when the first step that computes it began.
    """

    def __init__(self, request: PlannedRequest, start_s: float) -> None:
        self._request = request
        self._start_s = start_s
        self._token_times_s: list[float] = []
        self._num_cached_tokens = 0
        self._pauses: list[Pause] = []

    @property
    def num_tokens(self) -> int:
        """Output tokens so far; from the first on it decodes."""
        return len(self._token_times_s)

    def pause(self, interval: Interval, cause: Cause) -> None:
        """Note a step without a token; one that follows the last one directly prolongs it."""
        last = self._pauses[-1] if self._pauses else None
        if last and last.cause is cause and last.interval.end_s == interval.start_s:
            self._pauses.pop()
            interval = Interval(last.interval.start_s, interval.end_s)
        self._pauses.append(Pause(interval, cause))

    def take(self, output: RequestOutput, now: float) -> None:
        """Note what a step that ended at `now` did to it."""
        self._token_times_s += [now] * len(output.token_ids)
        if output.is_first:
            self._num_cached_tokens = output.num_cached_tokens

    def ended(self, reason: FinishReason) -> RequestRecord:
        """The whole way."""
        return RequestRecord(
            request_id=self._request.request_id,
            prompt_len=self._request.prompt_len,
            arrival_s=self._request.arrival_s,
            start_s=self._start_s,
            token_times_s=tuple(self._token_times_s),
            num_cached_tokens=self._num_cached_tokens,
            finish_reason=reason,
            pauses=tuple(self._pauses),
        )
