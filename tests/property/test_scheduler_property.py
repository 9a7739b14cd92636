"""Random arrivals, lengths, aborts and bounds against a strict fake: nothing leaks or starves."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from engine_svc.core.models.description import ModelDescription
from engine_svc.core.outputs import SchedulerOutput
from engine_svc.core.params import FinishReason, RequestId
from engine_svc.core.request import RequestSpec
from engine_svc.core.runner.fake import FakeRunner
from engine_svc.core.runner.fake_options import FakeOptions
from engine_svc.core.scheduler.base import Never, Scheduler, SchedulerConfig
from engine_svc.core.scheduler.registry import SCHEDULERS
from tests.support.requests import GREEDY, request_spec

DESCRIPTION = ModelDescription(
    directory=Path(),
    architecture="Fake",
    vocab_size=1000,
    max_position_embeddings=64,
    eos_token_ids=(),
    default_sampling=GREEDY,
    config={},
)
MAX_STEPS_TO_DRAIN = 2000


@dataclass
class Expected:
    """What must come out of one request."""

    spec: RequestSpec
    output: list[int] = field(default_factory=list)


class SchedulerMachine(RuleBasedStateMachine):
    """One policy, one strict fake runner, a list of what is owed."""

    policy = ""

    @initialize(
        num_blocks=st.integers(4, 24),
        block_size=st.integers(1, 5),
        seats=st.integers(1, 5),
        extra_budget=st.integers(0, 12),
    )
    def start(self, num_blocks: int, block_size: int, seats: int, extra_budget: int) -> None:
        self.config = SchedulerConfig(
            num_blocks=num_blocks,
            block_size=block_size,
            max_model_len=num_blocks * block_size,
            max_num_seqs=seats,
            max_num_batched_tokens=seats + extra_budget,
        )
        self.scheduler: Scheduler = SCHEDULERS[self.policy](self.config)
        self.runner = FakeRunner(DESCRIPTION, FakeOptions())
        self.runner.warm_up(num_blocks=num_blocks, block_size=block_size)
        self.live: dict[RequestId, Expected] = {}
        self.admitted: list[RequestId] = []
        self.arrived: list[RequestId] = []
        self.num_made = 0

    @rule(prompt=st.integers(1, 30), max_tokens=st.integers(1, 20), prior=st.integers(0, 25))
    def arrive(self, prompt: int, max_tokens: int, prior: int) -> None:
        base = 10 + 31 * self.num_made
        ids = tuple(range(base, base + prompt))
        self.num_made += 1
        echoed = tuple(ids[i % prompt] for i in range(prior))
        spec = request_spec(f"r{self.num_made}", ids, max_tokens, prior=echoed)
        too_long = prompt + max_tokens > self.config.max_model_len or prior >= max_tokens
        assert isinstance(self.scheduler.capacity(spec), Never) is too_long
        if not too_long:
            self.scheduler.add_request(spec, 0.0)
            self.live[spec.request_id] = Expected(spec, list(echoed))
            self.arrived.append(spec.request_id)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def abort(self, data: st.DataObject) -> None:
        request_id = data.draw(st.sampled_from(sorted(self.live)))
        assert self.scheduler.abort_requests([request_id]) == (request_id,)
        del self.live[request_id]
        self.arrived.remove(request_id)

    @rule()
    def step(self) -> None:
        step = self.scheduler.schedule(0.0)
        assert (step is None) == (not self.live)
        if step is not None:
            self._check(step)
            result = self.runner.execute(step)
            for output in self.scheduler.update_from_output(step, result, 0.0):
                self._take(output.request_id, output.token_ids, output.finish_reason)

    def _check(self, step: SchedulerOutput) -> None:
        """The rules that bind every step: budget, seats, distinct slots, order of arrival."""
        assert step.num_tokens <= self.config.max_num_batched_tokens
        assert len(step.sequences) <= self.config.max_num_seqs
        slots = [slot for s in step.sequences for slot in s.slot_mapping]
        assert len(slots) == len(set(slots))
        for sequence in step.sequences:
            if sequence.request_id not in self.admitted:
                self.admitted.append(sequence.request_id)
        started = [r for r in self.arrived if r in self.admitted]
        assert started == self.arrived[: len(started)]

    def _take(
        self, request_id: RequestId, tokens: tuple[int, ...], reason: FinishReason | None
    ) -> None:
        expected = self.live[request_id]
        expected.output += tokens
        if reason is not None:
            prompt = expected.spec.prompt_token_ids
            count = expected.spec.stopping.max_tokens
            assert expected.output == [prompt[i % len(prompt)] for i in range(count)]
            del self.live[request_id]
            self.arrived.remove(request_id)

    @invariant()
    def adds_up(self) -> None:
        if hasattr(self, "scheduler"):
            self.scheduler.check_integrity()

    def teardown(self) -> None:
        """Every request that is left ends, and then every block is free."""
        if not hasattr(self, "scheduler"):
            return
        for _ in range(MAX_STEPS_TO_DRAIN):
            if not self.live:
                break
            self.step()
        assert not self.live
        load = self.scheduler.load()
        assert load.num_free_blocks == load.num_total_blocks


@pytest.mark.parametrize("policy", sorted(SCHEDULERS))
def test_a_policy_keeps_its_promises(policy: str) -> None:
    """Blocks add up, outputs are exact, nobody is overtaken, everybody ends."""
    machine: type[SchedulerMachine] = type("Machine", (SchedulerMachine,), {"policy": policy})
    bounds = settings(max_examples=60, stateful_step_count=60, deadline=None)
    run_state_machine_as_test(machine, settings=bounds)
