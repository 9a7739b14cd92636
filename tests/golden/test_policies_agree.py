"""Whatever the batching policy, the tokens are the same: the ragged facts alone define a step."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from engine_svc.core.batching import BatchingOptions, Join, OverLimit, PauseOrder, WarmupShape
from engine_svc.core.outputs import Layout, PaddedPaged, Ragged, SchedulerOutput, StaticShape
from engine_svc.core.params import RequestId
from engine_svc.core.runner.fms import FmsRunner
from engine_svc.core.scheduler.base import Bounds, Never, Scheduler, SchedulerConfig
from engine_svc.core.scheduler.registry import SCHEDULERS
from tests.support.mixes import MAX_NEW, MAX_PROMPT, MixedRequest, random_mix
from tests.support.models import LLAMA, VOCAB_SIZE, TinyModel

MODEL = TinyModel(
    name="llama-long", family="llama", config=LLAMA.config | {"max_position_embeddings": 320}
)
NUM_MIXES = 12
MIXES = {seed: random_mix(seed, num_requests=9, vocab_size=VOCAB_SIZE) for seed in range(NUM_MIXES)}
MAX_STEPS = 5_000
Tokens = Mapping[RequestId, list[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A policy, how it is told to work, and what its steps must show for the test to mean much."""

    policy: str
    options: BatchingOptions = field(default_factory=BatchingOptions)
    max_num_batched_tokens: int = 64
    layout: type[Layout] = PaddedPaged
    shows: tuple[str, ...] = ()


SHAPES = tuple(
    WarmupShape(prompt_len=prompt, new_tokens=MAX_NEW, batch_size=batch)
    for prompt, batch in ((64, 4), (128, 3), (192, 2))
)
TIGHT = 520
VARIANTS = {
    "continuous": Variant(policy="continuous", max_num_batched_tokens=23, layout=Ragged),
    "static": Variant(policy="static", options=BatchingOptions(shapes=SHAPES), layout=StaticShape),
    "shift": Variant(policy="spyre_continuous", shows=("padded",)),
    "wait": Variant(
        policy="spyre_continuous", options=BatchingOptions(join=Join.WAIT), shows=("padded",)
    ),
    "shift-tight": Variant(
        policy="spyre_continuous", options=BatchingOptions(max_batch_tkv=TIGHT, min_decode_rows=2)
    ),
    "chunked": Variant(policy="spyre_chunked", shows=("padded", "cached")),
    "chunked-pausing": Variant(
        policy="spyre_chunked",
        options=BatchingOptions(max_batch_tkv=TIGHT),
        shows=("paused", "cached"),
    ),
    "chunked-pausing-longest-first": Variant(
        policy="spyre_chunked",
        options=BatchingOptions(max_batch_tkv=TIGHT, pause_order=PauseOrder.MOST_FIRST),
        shows=("paused",),
    ),
    "chunked-long": Variant(
        policy="spyre_chunked",
        options=BatchingOptions(
            interleave=False, over_limit=OverLimit.LOOK_AHEAD, max_batch_tkv=2 * TIGHT
        ),
        max_num_batched_tokens=128,
        shows=("thrown away",),
    ),
    "chunked-uncached": Variant(
        policy="spyre_chunked", options=BatchingOptions(prefix_caching=False)
    ),
}


@dataclass
class Outcome:
    """What came of a mix, and what its steps showed."""

    tokens: dict[RequestId, list[int]] = field(default_factory=dict)
    showed: Counter[str] = field(default_factory=Counter)

    def note(self, step: SchedulerOutput, layout: type[Layout]) -> None:
        """Look at a step."""
        assert type(step.layout) is layout
        self.showed["paused"] += len(step.paused_request_ids)
        self.showed["thrown away"] += sum(
            slot < 0 for sequence in step.sequences for slot in sequence.slot_mapping
        )
        if isinstance(step.layout, PaddedPaged):
            self.showed["padded"] += sum(step.layout.left_pads)


@pytest.fixture(scope="module")
def agreed() -> dict[int, Tokens]:
    """What `continuous` gave for each mix, with nobody leaving; filled on first use."""
    return {}


@pytest.fixture
def runner(
    directory_of: Callable[[TinyModel], Path], runner_of: Callable[[Path], FmsRunner]
) -> FmsRunner:
    return runner_of(directory_of(MODEL))


def started(variant: Variant, runner: FmsRunner) -> Scheduler:
    """A scheduler of the variant, and the runner's cache as it needs it."""
    factory = SCHEDULERS[variant.policy]
    bounds = factory.settle(
        Bounds(
            model_max_len=320,
            max_model_len=None,
            max_num_seqs=5,
            max_num_batched_tokens=variant.max_num_batched_tokens,
            block_size=None,
            options=variant.options,
        )
    )
    max_model_len = bounds.max_model_len or bounds.model_max_len
    assert bounds.block_size is not None
    num_blocks = 4 * -(-max_model_len // bounds.block_size)
    runner.warm_up(num_blocks=num_blocks, block_size=bounds.block_size)
    return factory(
        SchedulerConfig(
            num_blocks=num_blocks,
            block_size=bounds.block_size,
            max_model_len=max_model_len,
            max_num_seqs=bounds.max_num_seqs,
            max_num_batched_tokens=bounds.max_num_batched_tokens,
            options=bounds.options,
        )
    )


def has_left(request: MixedRequest, outcome: Outcome) -> bool:
    """Whether the caller goes now."""
    return (
        request.leaves_after is not None
        and len(outcome.tokens.get(request.name, ())) >= request.leaves_after
    )


def clock() -> Iterator[int]:
    """Step numbers; a mix that does not end is a fault."""
    yield from range(MAX_STEPS)
    pytest.fail(f"the mix did not end within {MAX_STEPS} steps")


def run(
    variant: Variant, runner: FmsRunner, mix: list[MixedRequest], *, leaving: bool = True
) -> Outcome:
    """All requests to their end, or to where their callers leave."""
    scheduler, outcome, steps = started(variant, runner), Outcome(), clock()
    for now in steps:
        for request in mix:
            if request.arrives_at == now:
                assert not isinstance(scheduler.capacity(request.spec), Never)
                scheduler.add_request(request.spec, float(now))
        if leaving:
            gone = [r.name for r in mix if r.arrives_at < now and has_left(r, outcome)]
            scheduler.abort_requests(gone)
        advance(scheduler, runner, outcome, variant.layout, now=float(now))
        if now >= mix[-1].arrives_at and not scheduler.has_requests:
            break
    load = scheduler.load()
    assert (load.num_running, load.num_waiting, load.num_used_blocks) == (0, 0, 0)
    assert load.num_free_blocks + load.num_cached_blocks == load.num_total_blocks
    return outcome


def advance(
    scheduler: Scheduler, runner: FmsRunner, outcome: Outcome, layout: type[Layout], *, now: float
) -> None:
    """One step, if there is one."""
    step = scheduler.schedule(now)
    if step is not None:
        outcome.note(step, layout)
        for output in scheduler.update_from_output(step, runner.execute(step), now):
            assert output.fault is None
            outcome.showed["cached"] += output.num_cached_tokens
            tokens = outcome.tokens.setdefault(output.request_id, [])
            tokens.extend(output.token_ids)
    scheduler.check_integrity()


def reference(agreed: dict[int, Tokens], runner: FmsRunner, seed: int) -> Tokens:
    """The tokens of a mix under `continuous` with a large budget."""
    if seed not in agreed:
        whole = Variant(policy="continuous", max_num_batched_tokens=512, layout=Ragged)
        agreed[seed] = run(whole, runner, MIXES[seed], leaving=False).tokens
    return agreed[seed]


@pytest.mark.parametrize("name", VARIANTS)
def test_every_policy_gives_the_tokens_of_continuous(
    name: str, agreed: dict[int, Tokens], runner: FmsRunner
) -> None:
    """Greedy and seeded, with callers that leave; who left has the beginning of the same answer."""
    variant, showed = VARIANTS[name], Counter[str]()
    for seed, mix in MIXES.items():
        expected = reference(agreed, runner, seed)
        outcome = run(variant, runner, mix)
        showed += outcome.showed
        for request in mix:
            got = outcome.tokens.get(request.name, [])
            wanted = expected[request.name]
            if request.leaves_after is None:
                assert got == wanted, f"mix {seed}, {request.name}"
            else:
                assert got == wanted[: len(got)], f"mix {seed}, {request.name}"
    assert all(showed[thing] for thing in variant.shows), f"the mixes are too tame: {showed}"


@pytest.mark.parametrize("name", VARIANTS)
def test_an_answer_goes_on_where_another_engine_stopped(
    name: str, agreed: dict[int, Tokens], runner: FmsRunner
) -> None:
    """Prior output counts as output: the rest of the answer is the same under every policy."""
    variant, seed = VARIANTS[name], 0
    answers = reference(agreed, runner, seed)
    mix = [gone_on(r, answers[r.name]) for r in MIXES[seed] if len(answers[r.name]) > 1]
    # What came before is part of the prompt now, which may be too long for a warm-up shape.
    fitting = [r for r in mix if r.spec.num_prefill_tokens <= MAX_PROMPT]
    outcome = run(variant, runner, fitting, leaving=False)
    assert len(fitting) > 3
    for request in fitting:
        prior = list(request.spec.prior_output_token_ids)
        assert prior + outcome.tokens[request.name] == answers[request.name]


def gone_on(request: MixedRequest, answer: Sequence[int]) -> MixedRequest:
    """The request with half of its answer done."""
    half = tuple(answer[: len(answer) // 2])
    return replace(request, spec=replace(request.spec, prior_output_token_ids=half))


def test_the_mixes_are_worth_the_while(agreed: dict[int, Tokens], runner: FmsRunner) -> None:
    """Answers differ, some end early by a token, some callers leave in the middle."""
    answers = [
        (request, tuple(reference(agreed, runner, seed)[request.name]))
        for seed, mix in MIXES.items()
        for request in mix
    ]
    full = [r for r, tokens in answers if len(tokens) == r.spec.stopping.max_tokens]
    assert len({token for _, tokens in answers for token in tokens}) > VOCAB_SIZE // 2
    assert len(full) < len(answers) - 3
    assert any(r.leaves_after and r.leaves_after < len(tokens) for r, tokens in answers)
