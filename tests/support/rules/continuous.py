"""What binds `continuous`: the token budget, the seats, the order of arrival."""

from engine_svc.core.outputs import Ragged, ScheduledSequence, SchedulerOutput
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core.scheduler.base import SchedulerConfig
from tests.support.rules.arithmetic import blocks
from tests.support.rules.book import Book
from tests.support.rules.known import KnownRequests
from tests.support.rules.turns import StrictTurns
from tests.support.rules.verdict import expect, expect_at_most, expect_equal


class ContinuousRules:
    """See `rules.base.Checker`."""

    def __init__(self, config: SchedulerConfig) -> None:
        self._config = config
        self._book = Book(config)
        self._turns = StrictTurns()

    def can_run_alone(self, spec: RequestSpec) -> bool:
        """Within the context and the blocks."""
        needed = blocks(spec.max_num_tokens - 1, self._config.block_size)
        is_short = spec.max_num_tokens <= self._config.max_model_len
        return is_short and needed <= self._config.num_blocks and spec.num_new_tokens > 0

    def check(self, step: SchedulerOutput, requests: KnownRequests) -> None:
        """Refuse a step that breaks a rule."""
        self._book.forget_ended(requests)
        expect_equal("the layout", expected=Ragged(), got=step.layout)
        self._book.check(step, requests)
        budget = self._config.max_num_batched_tokens
        expect_at_most("token budget", limit=budget, got=step.num_tokens)
        self._check_decodes_first(step, requests)
        self._turns.check(self._book.starting(step), self._book.waiting(requests))
        self._book.commit(step)

    def spoil(self, sequences: tuple[ScheduledSequence, ...]) -> None:
        """Forget what these wrote."""
        self._book.spoil(sequences)

    def _check_decodes_first(self, step: SchedulerOutput, requests: KnownRequests) -> None:
        decodable = self._book.decodable(requests)
        served = {sequence.request_id for sequence in step.sequences}
        if not served <= decodable:
            left_out = decodable - served
            expect("decodes go before prompts", holds=not left_out, got=left_out)
