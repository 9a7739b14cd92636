"""Whoever is preempted, or finds its prompt cached, has the answer that it would have had alone."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from engine_svc.core.batching import BatchingOptions
from engine_svc.core.outputs import RequestOutput, SchedulerOutput
from engine_svc.core.params import (
    LengthPenalty,
    LogprobsParams,
    RequestId,
    SamplingParams,
    StoppingParams,
)
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core.runner.fms import FmsRunner
from engine_svc.core.scheduler.base import SchedulerConfig
from engine_svc.core.scheduler.continuous import ContinuousScheduler
from tests.support.models import LLAMA, VOCAB_SIZE, TinyModel

BLOCK_SIZE = 4
LONGEST = 64
ROOMY = 10 * LONGEST // BLOCK_SIZE
MAX_STEPS = 3_000
LOGPROB_ERROR = 1e-4
_DRAW = random.Random(5)  # noqa: S311 - prompts, not secrets
SHARED = tuple(_DRAW.randrange(5, VOCAB_SIZE) for _ in range(24))
HOT = SamplingParams(temperature=0.9, top_k=30, seed=11)
SAMPLINGS = (
    SamplingParams(temperature=0.0),
    HOT,
    replace(HOT, seed=12, repetition_penalty=1.3, frequency_penalty=0.4, presence_penalty=0.2),
    SamplingParams(temperature=0.0, repetition_penalty=1.5, bad_word_ids=((7,), (9, 11))),
    replace(HOT, seed=13, length_penalty=LengthPenalty(start_index=3, decay_factor=1.02)),
)


def request(idx: int) -> RequestSpec:
    """Every third prompt is the shared one alone, whole blocks; every fifth has another salt."""
    tail = tuple(_DRAW.randrange(5, VOCAB_SIZE) for _ in range(idx % 3 * 5))
    return RequestSpec(
        request_id=RequestId(f"r{idx}"),
        prompt_token_ids=SHARED + tail,
        sampling=SAMPLINGS[idx % len(SAMPLINGS)],
        stopping=StoppingParams(max_tokens=12 + idx % 4 * 5, eos_token_ids=(2,), min_tokens=3),
        logprobs=LogprobsParams(num_top=2),
        cache_salt="other" if idx % 5 == 0 else "",
        priority=idx % 2,
    )


REQUESTS = tuple(request(idx) for idx in range(10))


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """How the engine is made to work, and what must have happened for the test to mean much."""

    num_blocks: int = ROOMY
    budget: int = 64
    caching: bool = True
    forces: bool = False
    """Before every step somebody is preempted."""
    shows: tuple[str, ...] = ()


VARIANTS = {
    "roomy": Variant(shows=("hits", "copies")),
    "small chunks": Variant(budget=9, shows=("hits",)),
    "tiny pool": Variant(num_blocks=LONGEST // BLOCK_SIZE, shows=("preemptions", "hits")),
    "tiny pool, nothing cached": Variant(
        num_blocks=LONGEST // BLOCK_SIZE + 4, caching=False, shows=("preemptions",)
    ),
    "somebody preempted before every step": Variant(forces=True, shows=("preemptions", "hits")),
    "preempted, tiny pool, small chunks": Variant(
        num_blocks=LONGEST // BLOCK_SIZE + 2, budget=9, forces=True, shows=("preemptions",)
    ),
}


@dataclass
class Answer:
    """What one request was told."""

    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    def take(self, told: RequestOutput) -> None:
        """No token twice, none left out."""
        assert told.fault is None
        assert not told.token_ids or told.first_position == len(self.token_ids)
        self.token_ids += told.token_ids
        self.logprobs += [each.logprob for each in told.logprobs]


class Run:
    """A scheduler, a runner and what came of the requests."""

    def __init__(self, runner: FmsRunner, variant: Variant) -> None:
        runner.warm_up(num_blocks=variant.num_blocks, block_size=BLOCK_SIZE)
        self._runner = runner
        self._variant = variant
        self._scheduler = ContinuousScheduler(
            SchedulerConfig(
                num_blocks=variant.num_blocks,
                block_size=BLOCK_SIZE,
                max_model_len=LONGEST,
                max_num_seqs=8,
                max_num_batched_tokens=variant.budget,
                options=BatchingOptions(prefix_caching=variant.caching),
            )
        )
        self.answers: dict[RequestId, Answer] = {}
        self.num_copies = 0

    def to_the_end(self, requests: Iterable[RequestSpec]) -> "Run":
        """All answers; a new request comes with every other step."""
        coming = list(requests)
        for now in range(MAX_STEPS):
            if now % 2 == 0 and coming:
                self._scheduler.add_request(coming.pop(0), float(now))
            if self._variant.forces:
                self._preempt_one(now)
            if (step := self._scheduler.schedule(float(now))) is not None:
                self._execute(step, float(now))
            self._scheduler.check_integrity()
            if not coming and not self._scheduler.has_requests:
                return self
        pytest.fail(f"not done after {MAX_STEPS} steps")

    def showed(self) -> dict[str, int]:
        """What happened."""
        load = self._scheduler.load()
        return {
            "preemptions": load.num_preemptions,
            "hits": load.num_cached_prompt_tokens,
            "copies": self.num_copies,
        }

    def _preempt_one(self, now: int) -> None:
        if running := self._scheduler.snapshot().running:
            self._scheduler.preempt(running[now % len(running)])

    def _execute(self, step: SchedulerOutput, now: float) -> None:
        self.num_copies += len(step.block_copies)
        result = self._runner.execute(step)
        for told in self._scheduler.update_from_output(step, result, now):
            self.answers.setdefault(told.request_id, Answer()).take(told)


@pytest.fixture(scope="module")
def alone() -> dict[RequestId, Answer]:
    """The answer of each request in an engine of its own; filled on first use."""
    return {}


@pytest.mark.parametrize("name", VARIANTS)
def test_an_answer_is_that_of_an_engine_of_its_own(
    name: str,
    alone: dict[RequestId, Answer],
    directory_of: Callable[[TinyModel], Path],
    runner_of: Callable[[Path], FmsRunner],
) -> None:
    """Greedy, seeded, with penalties: the same tokens and log-probabilities, in float32."""
    directory, variant = directory_of(LLAMA), VARIANTS[name]
    if not alone:
        own, plain = runner_of(directory), Variant(caching=False)
        for each in REQUESTS:
            alone.update(Run(own, plain).to_the_end((each,)).answers)
    # A runner of its own: request ids are never used twice.
    run = Run(runner_of(directory), variant).to_the_end(REQUESTS)
    for request_id, expected in alone.items():
        answer = run.answers[request_id]
        assert answer.token_ids == expected.token_ids, request_id
        assert answer.logprobs == pytest.approx(expected.logprobs, abs=LOGPROB_ERROR)
    assert all(run.showed()[thing] for thing in variant.shows), run.showed()


def test_the_answers_are_worth_the_while(
    directory_of: Callable[[TinyModel], Path], runner_of: Callable[[Path], FmsRunner]
) -> None:
    """They differ, and each token has its log-probability."""
    run = Run(runner_of(directory_of(LLAMA)), VARIANTS["roomy"]).to_the_end(REQUESTS)
    answers = run.answers.values()
    assert len({tuple(answer.token_ids) for answer in answers}) > len(REQUESTS) - 2
    assert all(len(answer.logprobs) == len(answer.token_ids) > 2 for answer in answers)
