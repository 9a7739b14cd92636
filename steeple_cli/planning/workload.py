"""The requests of a plan: who comes when, with how many tokens, and wants how many."""

import random
from dataclasses import dataclass

from engine_svc.core.params import RequestId
from steeple_cli.planning.lengths import Lengths


@dataclass(frozen=True, slots=True)
class PromptPrefix:
    """The start of a prompt that all requests naming it have in common."""

    name: str
    num_tokens: int
    """1 to the length of the prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRequest:
    """One request to come."""

    request_id: RequestId
    arrival_s: float
    """From the start of the plan."""
    prompt_len: int
    max_tokens: int
    output_len: int
    """1 to max_tokens; below it, the output ends by a stop token."""
    priority: int = 0
    """Lower goes first."""
    prefix: PromptPrefix | None = None


Workload = tuple[PlannedRequest, ...]
"""In the order of arrival."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """A workload in a few numbers."""

    num_requests: int
    rate: float | None
    """Requests per second, in a Poisson process; None = all are there at the start."""
    prompt_lens: Lengths
    output_lens: Lengths
    max_tokens: int | None
    """What each request asks for, whatever it then needs; None = exactly what it needs."""
    seed: int


def draw_workload(wanted: Distribution) -> Workload:
    """Requests like `wanted`; the same for the same seed, each of the three draws by itself."""
    arrivals, prompts, outputs = (_rng(wanted.seed, use) for use in ("arrival", "prompt", "output"))
    clock = 0.0
    requests = []
    for idx in range(wanted.num_requests):
        clock += arrivals.expovariate(wanted.rate) if wanted.rate else 0.0
        length = wanted.output_lens.draw(outputs)
        max_tokens = length if wanted.max_tokens is None else wanted.max_tokens
        requests.append(
            PlannedRequest(
                request_id=RequestId(str(idx)),
                arrival_s=clock,
                prompt_len=wanted.prompt_lens.draw(prompts),
                max_tokens=max_tokens,
                output_len=min(length, max_tokens),
            )
        )
    return tuple(requests)


def _rng(seed: int, use: str) -> random.Random:
    # A stream for each use: other prompt lengths do not change who arrives when.
    return random.Random(f"{seed}/{use}")  # noqa: S311 - a workload, not a secret
