"""What every runner promises, whatever it computes with."""

from collections.abc import Callable
from pathlib import Path

import pytest

from engine_svc.core.messages import CoreConfig
from engine_svc.core.models.description import read_description
from engine_svc.core.outputs import NO_SLOT, Ragged, SampleSpec, ScheduledSequence, SchedulerOutput
from engine_svc.core.params import BlockId, RequestId, SamplingParams
from engine_svc.core.runner.base import ModelRunner
from engine_svc.core.runner.registry import RUNNERS
from tests.support.models import GRANITE, save_model
from tests.support.stepper import Sequence, Stepper

MakeRunner = Callable[[], ModelRunner]
PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [12], [13, 14, 15], [5, 6, 7, 8]]


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"), GRANITE)


@pytest.fixture(params=sorted(RUNNERS))
def make_runner(request: pytest.FixtureRequest, model_dir: Path) -> MakeRunner:
    """Makes loaded runners of one registered kind."""

    def make() -> ModelRunner:
        config = CoreConfig(model_dir=str(model_dir), runner=request.param)
        runner = RUNNERS[request.param](config, read_description(model_dir))
        runner.load(lambda stage, done, total: None)
        return runner

    return make


def outputs(runner: ModelRunner, prompts: list[list[int]], chunk: int) -> list[list[int]]:
    """Six greedy tokens for each prompt, all together."""
    sequences = [
        Sequence(prompt=prompt, num_new=6, arrives_at=index) for index, prompt in enumerate(prompts)
    ]
    return Stepper(runner).run(sequences, chunk=chunk)


def test_neighbours_and_chunks_change_nothing(make_runner: MakeRunner) -> None:
    """Each prompt alone, all together, in any chunks: the same tokens."""
    alone = [outputs(make_runner(), [prompt], 100)[0] for prompt in PROMPTS]
    for chunk in (1, 2, 100):
        assert outputs(make_runner(), PROMPTS, chunk) == alone


def test_info_tells_what_was_loaded(make_runner: MakeRunner) -> None:
    """Sizes, layouts and an identity."""
    info = make_runner().info()
    assert info.kv_bytes_per_token > 0
    assert Ragged in info.layouts
    assert len(info.model_fingerprint) == 64


def test_the_identity_is_the_same_in_every_process(make_runner: MakeRunner) -> None:
    """Two loads of one model agree."""
    assert make_runner().info().model_fingerprint == make_runner().info().model_fingerprint


def step_of(
    *sequences: ScheduledSequence, copies: tuple[tuple[int, int], ...] = ()
) -> SchedulerOutput:
    """One step."""
    pairs = tuple((BlockId(a), BlockId(b)) for a, b in copies)
    return SchedulerOutput(step=1, sequences=sequences, layout=Ragged(), block_copies=pairs)


def sequence_of(
    name: str, tokens: tuple[int, ...], first: int, table: tuple[int, ...], slots: tuple[int, ...]
) -> ScheduledSequence:
    """A sequence whose next token is wanted."""
    return ScheduledSequence(
        request_id=RequestId(name),
        token_ids=tokens,
        first_position=first,
        num_prompt_tokens=first + len(tokens),
        block_table=tuple(BlockId(b) for b in table),
        slot_mapping=slots,
        sample=SampleSpec(sampling=SamplingParams(temperature=0.0), output_index=0),
    )


def test_copied_blocks_hold_what_their_source_held(make_runner: MakeRunner) -> None:
    """A copy is made before the step computes; going on from it gives the same token."""
    runner = make_runner()
    runner.warm_up(num_blocks=8, block_size=4)
    runner.execute(step_of(sequence_of("a", (5, 6, 7, 8), 0, (1,), (4, 5, 6, 7))))
    original = runner.execute(step_of(sequence_of("b", (9,), 4, (1, 2), (8,))))
    copied = runner.execute(step_of(sequence_of("c", (9,), 4, (3, 4), (16,)), copies=((1, 3),)))
    assert copied.token_ids[RequestId("c")] == original.token_ids[RequestId("b")]


def test_a_token_without_a_slot_is_computed_and_not_written(make_runner: MakeRunner) -> None:
    """NO_SLOT: the cache keeps what it has, and that is what is read."""
    runner = make_runner()
    runner.warm_up(num_blocks=8, block_size=4)
    first = runner.execute(step_of(sequence_of("a", (5, 6, 7), 0, (1,), (4, 5, 6))))
    again = runner.execute(step_of(sequence_of("b", (6, 7), 1, (1,), (NO_SLOT, NO_SLOT))))
    assert again.token_ids[RequestId("b")] == first.token_ids[RequestId("a")]


def test_a_probe_changes_nothing(make_runner: MakeRunner) -> None:
    """What is cached stays, and the next token is the one that it was."""
    runner = make_runner()
    runner.warm_up(num_blocks=8, block_size=4)
    first = runner.execute(step_of(sequence_of("a", (5, 6, 7), 0, (1,), (4, 5, 6))))
    runner.probe()
    again = runner.execute(step_of(sequence_of("b", (7,), 2, (1,), (NO_SLOT,))))
    assert again.token_ids[RequestId("b")] == first.token_ids[RequestId("a")]


def test_a_warm_up_may_be_longer_than_the_whole_cache(make_runner: MakeRunner) -> None:
    """It writes nothing: the cache is as empty after it as without it."""
    tokens = []
    for length in (1, 50):
        runner = make_runner()
        runner.warm_up(num_blocks=3, block_size=4, max_num_tokens=length)
        told = runner.execute(step_of(sequence_of("a", (5, 6, 7), 0, (1,), (4, 5, 6))))
        tokens.append(told.token_ids[RequestId("a")])
    assert tokens[0] == tokens[1]


def test_a_step_that_only_copies_computes_nothing(make_runner: MakeRunner) -> None:
    """Copies can be made in front of a step, alone."""
    runner = make_runner()
    runner.warm_up(num_blocks=8, block_size=4)
    runner.execute(step_of(sequence_of("a", (5, 6, 7, 8), 0, (1,), (4, 5, 6, 7))))
    assert runner.execute(step_of(copies=((1, 3),))).token_ids == {}
    original = runner.execute(step_of(sequence_of("b", (9,), 4, (1, 2), (8,))))
    copied = runner.execute(step_of(sequence_of("c", (9,), 4, (3, 4), (16,))))
    assert copied.token_ids[RequestId("c")] == original.token_ids[RequestId("b")]
