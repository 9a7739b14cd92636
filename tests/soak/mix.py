"""Who asks for what: a bit of everything, the same for the same seed."""

import random
from collections.abc import Callable, Iterator

from steeple_cli.load.history import LoadRequest
from steeple_client import GenerateOptions, Message
from tests.support.guarantees import canary

TIMEOUT_S = 120.0
Make = Callable[[str, random.Random], LoadRequest]


def _echo(name: str, draw: random.Random) -> LoadRequest:
    return _request(name, draw, GenerateOptions(temperature=0.0))


def _seeded(name: str, draw: random.Random) -> LoadRequest:
    return _request(name, draw, GenerateOptions(temperature=0.9, seed=draw.randrange(1 << 63)))


def _penalties(name: str, draw: random.Random) -> LoadRequest:
    options = GenerateOptions(
        temperature=1.0, seed=7, repetition_penalty=1.2, frequency_penalty=0.3, logprobs=2
    )
    return _request(name, draw, options)


def _priority(name: str, draw: random.Random) -> LoadRequest:
    return _request(name, draw, GenerateOptions(temperature=0.0, priority=draw.randint(-3, 3)))


def _stopped(name: str, draw: random.Random) -> LoadRequest:
    return _request(name, draw, GenerateOptions(temperature=0.0, stop=["ell", "zz"]))


def _leaver(name: str, draw: random.Random) -> LoadRequest:
    return _request(name, draw, GenerateOptions(temperature=0.0), leaves_after=draw.randint(1, 9))


def _slow_reader(name: str, draw: random.Random) -> LoadRequest:
    return _request(name, draw, GenerateOptions(temperature=0.0), pause_s=0.05)


def _impatient(name: str, draw: random.Random) -> LoadRequest:
    return _request(name, draw, GenerateOptions(temperature=0.0, timeout_s=draw.uniform(0.01, 0.4)))


def _wrong(name: str, draw: random.Random) -> LoadRequest:
    wrong = draw.choice(
        [
            GenerateOptions(temperature=-1.0),
            GenerateOptions(top_p=float("nan")),
            GenerateOptions(max_tokens=1 << 31),
            GenerateOptions(model="nobody"),
        ]
    )
    return _request(name, draw, wrong)


def _chat(name: str, draw: random.Random) -> LoadRequest:
    options = GenerateOptions(
        temperature=0.0, max_tokens=draw.randint(1, 60), timeout_s=TIMEOUT_S, ignore_eos=True
    )
    prompt = (Message("user", f"<{name}> what is 2+2?"),)
    return LoadRequest(name=name, prompt=prompt, options=options)


def _request(
    name: str,
    draw: random.Random,
    options: GenerateOptions,
    *,
    leaves_after: int | None = None,
    pause_s: float = 0.0,
) -> LoadRequest:
    bounds = GenerateOptions(max_tokens=draw.randint(1, 120), timeout_s=TIMEOUT_S, ignore_eos=True)
    bare = LoadRequest(name=name, prompt="")
    return LoadRequest(
        name=name,
        prompt=f"{canary(bare)} tell me more. " * draw.randint(1, 8),
        options=GenerateOptions(**{**bounds, **options}),
        leaves_after=leaves_after,
        pause_s=pause_s,
    )


KINDS: dict[str, tuple[Make, int]] = {
    "echo": (_echo, 30),
    "seeded": (_seeded, 15),
    "penalties": (_penalties, 10),
    "priority": (_priority, 10),
    "stopped": (_stopped, 10),
    "chat": (_chat, 10),
    "leaver": (_leaver, 8),
    "impatient": (_impatient, 5),
    "slow": (_slow_reader, 2),
    "wrong": (_wrong, 5),
}
"""How each kind is made, and how often it comes."""
EXPECTED_FAILURES = {
    "impatient": frozenset({"DEADLINE_EXPIRED", "DEADLINE_EXCEEDED"}),
    "wrong": frozenset({"OUT_OF_RANGE", "CONTEXT_EXCEEDED", "MODEL_NOT_FOUND"}),
}
"""Reasons that a kind may fail with, whatever happens to the services."""


def kind_of(request: LoadRequest) -> str:
    """Which kind a request is of."""
    return request.name.partition("-")[0]


def mixed(seed: int) -> Iterator[LoadRequest]:
    """Requests without end."""
    draw = random.Random(seed)  # noqa: S311 - load, not cryptography
    names = list(KINDS)
    weights = [weight for _, weight in KINDS.values()]
    number = 0
    while True:
        number += 1
        (kind,) = draw.choices(names, weights)
        make, _ = KINDS[kind]
        yield make(f"{kind}-{number:07d}", draw)
