"""What binds `continuous`: the token budget, the order of arrival, who is preempted and when."""

from collections.abc import Iterable

from engine_svc.core.outputs import Ragged, ScheduledSequence, SchedulerOutput
from engine_svc.core.params import RequestId
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core.scheduler.base import SchedulerConfig
from tests.support.rules.arithmetic import blocks
from tests.support.rules.book import Book
from tests.support.rules.known import KnownRequests
from tests.support.rules.preempting import PreemptingRules
from tests.support.rules.turns import StrictTurns
from tests.support.rules.verdict import expect, expect_at_most, expect_equal


class ContinuousRules:
    """See `rules.base.Checker`."""

    def __init__(self, config: SchedulerConfig) -> None:
        self._config = config
        self._book = Book(config, shares_blocks=config.options.prefix_caching, preempts=True)
        self._turns = StrictTurns()
        self._preempting = PreemptingRules(config, self._book)
        self._forced: set[RequestId] = set()

    def can_run_alone(self, spec: RequestSpec) -> bool:
        """Within the context and the blocks."""
        needed = blocks(spec.max_num_tokens - 1, self._config.block_size)
        is_short = spec.max_num_tokens <= self._config.max_model_len
        return is_short and needed <= self._config.num_blocks and spec.num_new_tokens > 0

    def force(self, request_ids: Iterable[RequestId]) -> None:
        """These were preempted from outside; the next step tells them."""
        self._forced |= set(request_ids)

    def check(self, step: SchedulerOutput, requests: KnownRequests) -> None:
        """Refuse a step that breaks a rule."""
        self._book.forget_ended(requests)
        self._forced &= requests.keys()
        expect_equal("the layout", expected=Ragged(), got=step.layout)
        told = [i for i in step.preempted_request_ids if i in requests]
        expect("who is preempted is told", holds=self._forced_now() <= set(told), got=told)
        self._preempting.check(step, requests, forced=self._forced_now())
        self._book.forget_preempted(told)
        decodable = self._decodable(requests)
        self._book.check(step, requests)
        budget = self._config.max_num_batched_tokens
        expect_at_most("token budget", limit=budget, got=step.num_tokens)
        self._check_decodes_first(step, decodable)
        starting = self._book.starting(step)
        self._turns.check(starting, self._book.waiting(requests))
        self._check_progress(step, requests)
        self._preempting.check_room_left(step, requests, starting)
        self._book.commit(step)
        self._preempting.commit(step, starting)
        self._forced -= starting

    def spoil(self, sequences: tuple[ScheduledSequence, ...]) -> None:
        """Forget what these wrote."""
        self._book.spoil(sequences)

    def _forced_now(self) -> set[RequestId]:
        """Those that ran until they were preempted from outside."""
        return self._forced & self._book.running_ids()

    def _decodable(self, requests: KnownRequests) -> set[RequestId]:
        """Who runs and lacks nothing but its last token."""
        return {
            request_id
            for request_id in self._book.decodable(requests)
            if self._book.num_computed(request_id) == len(requests[request_id].token_ids) - 1
        }

    def _check_decodes_first(self, step: SchedulerOutput, decodable: set[RequestId]) -> None:
        served = {sequence.request_id for sequence in step.sequences}
        if not served <= decodable:
            left_out = decodable - served
            expect("decodes go before prompts", holds=not left_out, got=left_out)

    def _check_progress(self, step: SchedulerOutput, requests: KnownRequests) -> None:
        """Whoever is most deserving advances, unless it was thrown out from outside."""
        served = {sequence.request_id for sequence in step.sequences}
        entitled = [known for i, known in requests.items() if i not in self._forced]
        if entitled and len(entitled) == len(requests):
            first = min(entitled, key=lambda known: known.turn).spec.request_id
            expect("the most deserving request advances", holds=first in served, got=first)
