"""What binds preemption by recompute: only for want of blocks or seats, the least deserving first.

between two preemptions of a request: it, or somebody more deserving, grew by a block,
or somebody of better priority starts
"""

from collections.abc import Mapping

from engine_svc.core.outputs import SchedulerOutput
from engine_svc.core.params import BlockId, RequestId
from engine_svc.core.scheduler.base import SchedulerConfig
from tests.support.rules.arithmetic import blocks
from tests.support.rules.book import Book
from tests.support.rules.known import KnownRequests
from tests.support.rules.verdict import expect, expect_at_most


class PreemptingRules:
    """Remembers who grew since whom was started.

    Args:
        config: the bounds.
        book: of the checker; as it is before the step, except in `commit`.
    """

    def __init__(self, config: SchedulerConfig, book: Book) -> None:
        self._config = config
        self._book = book
        self._started_at: dict[RequestId, int] = {}
        self._grown_at: dict[tuple[int, int], int] = {}
        """By turn: the last step in which somebody who decodes got a block."""

    def check(
        self, step: SchedulerOutput, requests: KnownRequests, *, forced: set[RequestId]
    ) -> None:
        """Refuse a preemption that is needless, out of turn, or one too many."""
        self._note_growth(step, requests)
        told = {i for i in step.preempted_request_ids if i in requests}
        running = self._book.running_ids()
        expect("only who runs is preempted", holds=told <= running, got=told - running)
        chosen = told - forced
        if not chosen:
            return
        kept = [requests[i].turn for i in running - told]
        least = min(requests[i].turn for i in chosen)
        expect(
            "the least deserving are preempted", holds=max(kept, default=least) <= least, got=told
        )
        self._check_needed(step, requests, forced)
        for request_id in chosen:
            self._check_reason(step, requests, request_id)

    def check_room_left(
        self, step: SchedulerOutput, requests: KnownRequests, starting: set[RequestId]
    ) -> None:
        """A start leaves one block for each of the others that run."""
        if not starting:
            return
        tables = {i: self._book.block_table(i) for i in self._book.running_ids()}
        tables |= {q.request_id: q.block_table for q in step.sequences}
        num_free = self._config.num_blocks - self._num_taken(tables, requests)
        expect_at_most("blocks left for others", limit=num_free, got=len(tables) - 1)

    def commit(self, step: SchedulerOutput, starting: set[RequestId]) -> None:
        """Remember who starts."""
        self._started_at |= dict.fromkeys(starting, step.step)

    def _check_needed(
        self, step: SchedulerOutput, requests: KnownRequests, forced: set[RequestId]
    ) -> None:
        """There were too few blocks or seats for all that ran, grew and started."""
        running = self._book.running_ids() - forced
        taken = self._num_taken({i: self._book.block_table(i) for i in running}, requests)
        starting = self._starting(step)
        needed = sum(self._num_blocks(requests, i) + len(running) for i in starting)
        is_full = len(running | starting) > self._config.max_num_seqs
        holds = is_full or taken + needed > self._config.num_blocks
        expect("nobody is preempted in vain", holds=holds, got=(taken, needed))

    def _check_reason(
        self, step: SchedulerOutput, requests: KnownRequests, request_id: RequestId
    ) -> None:
        """Somebody got on: preemptions are bounded by what there is to get on with."""
        known = requests[request_id]
        started_at = self._started_at[request_id]
        grew = any(at > started_at for turn, at in self._grown_at.items() if turn <= known.turn)
        better = any(requests[i].spec.priority < known.spec.priority for i in self._starting(step))
        expect("somebody got on since the start", holds=grew or better, got=request_id)

    def _starting(self, step: SchedulerOutput) -> set[RequestId]:
        """Who starts, for the first time or again."""
        running = self._book.running_ids() - set(step.preempted_request_ids)
        return {sequence.request_id for sequence in step.sequences} - running

    def _note_growth(self, step: SchedulerOutput, requests: KnownRequests) -> None:
        """Who ran needs, or got, a block for its last token."""
        for request_id in self._book.running_ids():
            known, size = requests[request_id], self._config.block_size
            computed, length = self._book.num_computed(request_id), len(known.token_ids)
            if computed == length - 1 and computed % size == 0:
                self._grown_at[known.turn] = step.step

    def _num_taken(
        self, tables: Mapping[RequestId, tuple[BlockId, ...]], requests: KnownRequests
    ) -> int:
        """Blocks that these hold or still need for the tokens that they have."""
        held = set[BlockId]().union(*tables.values())
        missing = (self._num_blocks(requests, i) - len(table) for i, table in tables.items())
        return len(held) + sum(max(0, count) for count in missing)

    def _num_blocks(self, requests: KnownRequests, request_id: RequestId) -> int:
        return blocks(len(requests[request_id].token_ids), self._config.block_size)
