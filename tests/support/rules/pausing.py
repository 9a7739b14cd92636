"""What binds the pauses of `spyre_chunked`: only where the volume asks for it, and fair."""

from collections import Counter
from collections.abc import Iterable

from engine_svc.core.batching import OverLimit
from engine_svc.core.outputs import SchedulerOutput
from engine_svc.core.params import RequestId
from engine_svc.core.scheduler.base import SchedulerConfig
from tests.support.rules.arithmetic import blocks
from tests.support.rules.known import KnownRequests
from tests.support.rules.padded import BLOCK, volume_limit
from tests.support.rules.verdict import expect


class PausingRules:
    """Counts for how many decode steps each request was left out."""

    def __init__(self, config: SchedulerConfig) -> None:
        self._pauses = config.options.over_limit is OverLimit.PAUSE
        self._min_rows = config.options.min_decode_rows
        self._limit = volume_limit(config)
        self._num_left_out: Counter[RequestId] = Counter()

    def paused(self, decodable: set[RequestId]) -> set[RequestId]:
        """Those who were left out of the last decode step."""
        return {request_id for request_id in decodable if self._num_left_out[request_id]}

    def check_prompt_step(self, decodable: set[RequestId]) -> None:
        """Refuse a prompt while somebody is paused and somebody else decodes."""
        paused = self.paused(decodable)
        holds = not paused or paused == decodable
        expect("no prompt while somebody is paused", holds=holds, got=paused)

    def check_decode_step(self, step: SchedulerOutput, requests: KnownRequests) -> None:
        """Refuse a pause that is needless or out of turn."""
        served = {sequence.request_id for sequence in step.sequences}
        paused = set(step.paused_request_ids)
        expect("nobody is paused", holds=self._pauses or not paused, got=paused)
        for request_id in paused:
            fits = self._volume({*served, request_id}, requests) <= self._limit
            expect("only who exceeds the volume is paused", holds=not fits, got=request_id)
        self._check_longest_waits_no_longer(served, paused)
        self._count(served, paused)

    def _check_longest_waits_no_longer(
        self, served: set[RequestId], paused: set[RequestId]
    ) -> None:
        longest = max(self._num_left_out[i] for i in served | paused)
        most_patient = {i for i in served | paused if self._num_left_out[i] == longest}
        holds = bool(most_patient & served)
        expect("whoever was left out longest is next", holds=holds, got=most_patient)

    def _count(self, served: set[RequestId], paused: set[RequestId]) -> None:
        for request_id in served:
            del self._num_left_out[request_id]
        self._num_left_out.update(paused)

    def _volume(self, ids: Iterable[RequestId], requests: KnownRequests) -> int:
        """Rows * tkv of a decode step of these: rows end in the same last block."""
        ends = [len(requests[request_id].token_ids) for request_id in ids]
        num_blocks = max(blocks(end, BLOCK) for end in ends)
        tkv = max(BLOCK * (num_blocks - blocks(end, BLOCK)) + end for end in ends)
        return max(len(ends), self._min_rows) * tkv
