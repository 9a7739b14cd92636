"""Random mixes of requests, as callers send them: lengths, prefixes, ends, departures, by seed."""

import random
from dataclasses import dataclass

from engine_svc.core.params import RequestId, SamplingParams, StoppingParams
from engine_svc.core.request_spec import RequestSpec

MAX_PROMPT = 190
MAX_NEW = 24
_SHARED = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedRequest:
    """A request of a mix, and when its caller comes and goes."""

    spec: RequestSpec
    arrives_at: int
    """The step before which it is not there."""
    leaves_after: int | None
    """Output tokens after which its caller goes; 0 = before it has any; None = it stays."""

    @property
    def name(self) -> RequestId:
        """The request's id."""
        return self.spec.request_id


def random_mix(seed: int, *, num_requests: int, vocab_size: int) -> list[MixedRequest]:
    """Requests in order of arrival; the same for the same arguments.

    Prompts have 1 to MAX_PROMPT tokens, half of them beginning like one another; answers have 1 to
    MAX_NEW, some ended by a token; some are greedy, some random; some callers leave.
    """
    draw = random.Random(seed)  # noqa: S311 - requests, not secrets
    shared = _ids(draw, _SHARED, vocab_size)
    arrivals = sorted(draw.choice((0, 0, draw.randrange(40))) for _ in range(num_requests))
    return [
        MixedRequest(
            spec=_spec(draw, f"{seed}-{idx}", _prompt(draw, shared, vocab_size), vocab_size),
            arrives_at=arrival,
            leaves_after=draw.choice((None, None, None, draw.randrange(MAX_NEW // 2))),
        )
        for idx, arrival in enumerate(arrivals)
    ]


def _prompt(draw: random.Random, shared: tuple[int, ...], vocab_size: int) -> tuple[int, ...]:
    """Short, long, or long and beginning like others."""
    match draw.randrange(4):
        case 0:
            return _ids(draw, draw.randint(1, 20), vocab_size)
        case 1:
            return _ids(draw, draw.randint(21, MAX_PROMPT), vocab_size)
        case _:
            tail = _ids(draw, draw.randint(1, MAX_PROMPT - _SHARED), vocab_size)
            return shared[: draw.choice((64, 128, _SHARED))] + tail


def _spec(draw: random.Random, name: str, prompt: tuple[int, ...], vocab_size: int) -> RequestSpec:
    is_greedy = draw.random() < 0.5
    seed = draw.getrandbits(64)
    stops = _ids(draw, draw.choice((0, 0, 4)), vocab_size)
    max_tokens = draw.randint(1, MAX_NEW)
    return RequestSpec(
        request_id=RequestId(name),
        prompt_token_ids=prompt,
        sampling=SamplingParams(temperature=0.0 if is_greedy else 0.9, top_k=30, seed=seed),
        stopping=StoppingParams(
            max_tokens=max_tokens,
            min_tokens=draw.randint(0, min(3, max_tokens)),
            stop_token_ids=stops,
        ),
        priority=draw.choice((0, 0, -1, 5)),
    )


def _ids(draw: random.Random, count: int, vocab_size: int) -> tuple[int, ...]:
    """Token ids without the special ones at the start of the vocabulary."""
    return tuple(draw.randrange(5, vocab_size) for _ in range(count))
