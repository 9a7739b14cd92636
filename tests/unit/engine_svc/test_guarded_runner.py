"""A step that raises: who is guilty, who gets tokens, when the runner itself is to blame."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from engine_svc.core.guarded_runner import (
    MAX_PARTS,
    MAX_STRIKES,
    STEP_FAILED,
    CoreSickError,
    GuardedRunner,
)
from engine_svc.core.models.description import ModelDescription
from engine_svc.core.outputs import (
    Ragged,
    RunnerOutput,
    SampleSpec,
    ScheduledSequence,
    SchedulerOutput,
)
from engine_svc.core.params import BlockId, RequestId
from engine_svc.core.runner.base import CacheCorruptError
from engine_svc.core.runner.fake import FakeRunner
from engine_svc.core.runner.fake_options import FakeOptions
from tests.support.guilty_runner import GuiltyRunner
from tests.support.requests import GREEDY

DESCRIPTION = ModelDescription(
    directory=Path(),
    architecture="Fake",
    vocab_size=1000,
    max_model_len=64,
    eos_token_ids=(),
    default_sampling=GREEDY,
    config={},
)


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[structlog.typing.EventDict]]:
    """What was logged; tracebacks are not printed."""
    with structlog.testing.capture_logs() as caught:
        yield caught


def fake(options: FakeOptions | None = None) -> FakeRunner:
    """A strict runner with room for all."""
    runner = FakeRunner(DESCRIPTION, options or FakeOptions())
    runner.warm_up(num_blocks=80, block_size=4)
    return runner


def prompts(number: int, *, copies: tuple[tuple[int, int], ...] = ()) -> SchedulerOutput:
    """A step of so many prompts, "0" and up, each of tokens of its own."""
    return SchedulerOutput(
        step=1,
        sequences=tuple(
            ScheduledSequence(
                request_id=RequestId(str(idx)),
                token_ids=(100 + idx, 200 + idx),
                first_position=0,
                num_prompt_tokens=2,
                block_table=(BlockId(idx + 1),),
                slot_mapping=(4 * idx + 4, 4 * idx + 5),
                sample=SampleSpec(sampling=GREEDY, output_index=0),
            )
            for idx in range(number)
        ),
        layout=Ragged(),
        block_copies=tuple((BlockId(a), BlockId(b)) for a, b in copies),
    )


def names(*numbers: int) -> set[RequestId]:
    """Requests by number."""
    return {RequestId(str(number)) for number in numbers}


@pytest.mark.parametrize("guilty", [(5,), (0, 7), (2, 3, 4), (0, 1, 2, 3, 4, 5, 6)])
def test_the_guilty_fail_and_the_others_get_their_tokens(guilty: tuple[int, ...]) -> None:
    """The tokens that they get without the guilty ones."""
    expected = fake().execute(prompts(8)).token_ids
    runner = GuiltyRunner(fake(), names(*guilty))
    result = GuardedRunner(runner, lambda: None).execute(prompts(8))
    assert result.faults == dict.fromkeys(names(*guilty), STEP_FAILED)
    innocent = expected.keys() - names(*guilty)
    assert result.token_ids == {name: expected[name] for name in innocent}
    assert runner.num_probes == 0


def test_one_guilty_request_is_found_in_logarithmically_many_parts() -> None:
    """Of 64: six times two halves."""
    runner = GuiltyRunner(fake(), names(41))
    GuardedRunner(runner, lambda: None).execute(prompts(64))
    assert len(runner.steps) == 1 + 2 * 6


def test_a_step_that_fails_only_as_a_whole_fails_nobody() -> None:
    """Both halves pass: all tokens are there."""
    expected = fake().execute(prompts(4)).token_ids
    runner = fake(FakeOptions(failure_step=1))
    result = GuardedRunner(runner, lambda: None).execute(prompts(4))
    assert (result.token_ids, result.faults) == (expected, {})


def test_a_lone_request_is_guilty_if_the_probe_passes() -> None:
    """As often as it happens: no strike."""
    runner = GuiltyRunner(fake(), names(0))
    guarded = GuardedRunner(runner, lambda: None)
    for _ in range(2 * MAX_STRIKES):
        assert guarded.execute(prompts(1)).faults == {"0": STEP_FAILED}
    assert runner.num_probes == 2 * MAX_STRIKES


@pytest.mark.parametrize("number", [1, 8])
def test_a_runner_whose_probe_fails_is_sick(number: int) -> None:
    """Nobody is blamed; the probe is asked as soon as the first would be."""
    runner = GuiltyRunner(fake(), is_sick=True)
    with pytest.raises(CoreSickError, match="probe"):
        GuardedRunner(runner, lambda: None).execute(prompts(number))
    assert runner.num_probes == 1
    assert len(runner.steps) == {1: 1, 8: 1 + 2 * 3}[number]


def test_steps_that_nobody_passes_are_forgiven_twice() -> None:
    """The third in a row means that the runner is sick; one that somebody passes starts again."""
    everybody = GuiltyRunner(fake(), names(0, 1))
    guarded = GuardedRunner(everybody, lambda: None)
    for _ in range(2):
        for _ in range(MAX_STRIKES - 1):
            assert guarded.execute(prompts(2)).faults.keys() == names(0, 1)
        assert guarded.execute(prompts(3)).token_ids.keys() == names(2)
    for _ in range(MAX_STRIKES - 1):
        guarded.execute(prompts(2))
    with pytest.raises(CoreSickError, match="in a row"):
        guarded.execute(prompts(2))


def test_more_guilty_requests_than_a_handful_mean_that_the_runner_is_sick() -> None:
    """The search is bounded."""
    runner = GuiltyRunner(fake(), names(*range(0, 64, 2)))
    with pytest.raises(CoreSickError, match="parts"):
        GuardedRunner(runner, lambda: None).execute(prompts(64))
    assert len(runner.steps) == 1 + MAX_PARTS


def test_copies_are_made_once_and_first() -> None:
    """Whatever happens to the step."""
    runner = GuiltyRunner(fake(), names(1))
    step = prompts(2, copies=((70, 71),))
    result = GuardedRunner(runner, lambda: None).execute(step)
    assert runner.steps == [(), ("0", "1"), ("0",), ("1",)]
    assert result.faults.keys() == names(1)


def test_copies_that_fail_are_nobodys_fault() -> None:
    """No request explains them."""
    runner = GuiltyRunner(fake(), is_sick=True)
    with pytest.raises(CoreSickError, match="copying"):
        GuardedRunner(runner, lambda: None).execute(prompts(2, copies=((70, 71),)))


def test_a_contradiction_of_the_cache_is_raised_as_it_is() -> None:
    """The scheduler is wrong: its requests are not to blame."""

    class Contradicted(GuiltyRunner):
        def execute(self, step: SchedulerOutput) -> RunnerOutput:
            raise CacheCorruptError("read before written")

    with pytest.raises(CacheCorruptError):
        GuardedRunner(Contradicted(fake()), lambda: None).execute(prompts(2))


def test_each_part_is_announced() -> None:
    """So that a step in parts does not look stuck."""
    announced: list[int] = []
    runner = GuiltyRunner(fake(), names(3))
    GuardedRunner(runner, lambda: announced.append(len(runner.steps))).execute(prompts(4))
    assert announced == [1, 2, 3, 4]


def test_the_log_tells_the_story_once(logs: list[structlog.typing.EventDict]) -> None:
    """One line with the traceback, one with the number of those who were found."""
    GuardedRunner(GuiltyRunner(fake(), names(3)), lambda: None).execute(prompts(8))
    assert [(line["event"], "exc_info" in line) for line in logs] == [
        ("step_failed", True),
        ("step_isolated", False),
    ]
    assert logs[1]["num_guilty"] == 1
