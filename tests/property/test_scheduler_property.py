"""Random arrivals, ends, faults, aborts and bounds: every step is right, nothing leaks or starves.

A strict fake runner executes each step and reads back what it wrote; an independent checker
compares it with the rules that bind the policy. `--hypothesis-profile=long` draws 20 times as many.
"""

from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from engine_svc.core.batching import BatchingOptions
from engine_svc.core.params import RequestId
from engine_svc.core.scheduler.base import SchedulerConfig
from engine_svc.core.scheduler.registry import SCHEDULERS
from tests.support.rules.registry import CHECKERS
from tests.support.scheduler_machine.configs import CONFIGS
from tests.support.scheduler_machine.prompts import Recipe, recipes
from tests.support.scheduler_machine.world import Failure, World

SHARE_OF_EXAMPLES = 0.7
"""Of what the Hypothesis profile asks for: each example is long."""
FAILURES = st.sampled_from(
    [Failure.NOTHING, Failure.GUILTY, Failure.ROW, Failure.STEP, Failure.NOTHING]
)


class SchedulerMachine(RuleBasedStateMachine):
    """One world of one policy; after the last rule it is drained."""

    policy: ClassVar[str]

    @initialize(data=st.data())
    def start(self, data: st.DataObject) -> None:
        self.world = World(self.policy, data.draw(CONFIGS[self.policy], label="config"))
        self.conversations: list[tuple[int, ...]] = []
        self.num_made = 0

    @rule(data=st.data(), count=st.integers(1, 2))
    def arrive(self, data: st.DataObject, count: int) -> None:
        for _ in range(count):
            self.num_made += 1
            recipe = data.draw(recipes(longest=self.world.config.max_model_len), label="recipe")
            spec = recipe.spec(self.num_made, self.conversations)
            if self.world.arrive(spec):
                # The fake's answers repeat the prompt: the next turn of a conversation begins so.
                self.conversations.append(spec.prompt_token_ids * 2)

    @rule(data=st.data(), count=st.integers(4, 8))
    def arrive_in_a_crowd(self, data: st.DataObject, count: int) -> None:
        self.arrive(data, count)

    @precondition(lambda self: self.world.owed)
    @rule(data=st.data())
    def abort(self, data: st.DataObject) -> None:
        live = st.sampled_from(sorted(self.world.owed))
        ids = data.draw(st.lists(live, min_size=1, max_size=2, unique=True), label="aborted")
        self.world.abort([*ids, RequestId("stranger")])
        self.world.check_books()

    @precondition(lambda self: self.policy == "continuous" and self.world.owed)
    @rule(seats=st.lists(st.integers(0, 4), min_size=1, max_size=6), steps=st.integers(1, 2))
    def preempt(self, seats: list[int], steps: int) -> None:
        """From outside, again and again; a policy must cope with it and nobody may notice."""
        for seat in seats:
            self.world.preempt(seat)
            self.world.check_books()
            for _ in range(steps):
                self.world.step()

    @rule(count=st.integers(0, 12), failure=FAILURES, row=st.integers(0, 4))
    def run_steps(self, count: int, failure: Failure, row: int) -> None:
        """The last one may fail."""
        for _ in range(count):
            self.world.step()
        self.world.step(failure, row)

    def teardown(self) -> None:
        """Everybody who is left ends."""
        if hasattr(self, "world"):
            self.world.drain()


@pytest.mark.timeout(3600)  # the long profile; the default one takes seconds
@pytest.mark.parametrize("policy", sorted(SCHEDULERS))
def test_a_policy_keeps_its_promises(policy: str) -> None:
    """Rules, blocks, outputs, turns: right at every step; everybody ends."""
    machine: type[SchedulerMachine] = type("Machine", (SchedulerMachine,), {"policy": policy})
    bounds = settings(
        max_examples=round(SHARE_OF_EXAMPLES * settings().max_examples),
        stateful_step_count=12,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    run_state_machine_as_test(machine, settings=bounds)


def test_a_prompt_may_follow_a_prompt_where_everybody_else_is_paused() -> None:
    """Found by the machine above: who is paused claims no turn between two prompts."""
    world = World(
        "spyre_chunked",
        SchedulerConfig(
            num_blocks=4,
            block_size=64,
            max_model_len=256,
            max_num_seqs=2,
            max_num_batched_tokens=64,
            options=BatchingOptions(max_batch_tkv=256, min_decode_rows=1),
        ),
    )
    lengths = [(1, 11), (122, 8), (1, 1), (1, 1), (1, 1), (1, 1)]
    for idx, (prompt_len, max_tokens) in enumerate(lengths):
        world.arrive(Recipe(prompt_len=prompt_len, max_tokens=max_tokens).spec(idx, ()))
    world.drain()


def test_every_policy_has_a_checker() -> None:
    """And bounds to draw."""
    assert SCHEDULERS.keys() == CHECKERS.keys() == CONFIGS.keys()
