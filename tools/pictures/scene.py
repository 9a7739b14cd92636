"""A short life of a deployment for a picture of its dashboard.

Texts and conversations at changing rates, callers who leave, and an engine core that is killed.
"""

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, takewhile

from steeple_cli.load.arrivals import poisson
from steeple_cli.load.history import LoadRequest
from steeple_cli.load.loops import open_loop
from steeple_client import GenerateOptions, Message
from tests.support.traffic import callers

_OPENING = "one two three four five six seven eight nine ten eleven twelve thirteen "
_WORDS = ("what", "is", "two", "plus", "the", "red", "sky", "and", "seven", "times")
_CHAT_EVERY, _LEAVES_EVERY, _LEAVES_AFTER = 4, 9, 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A part of the scene with one rate of requests."""

    length_s: float
    rate: float
    """Requests per second, on average."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What happens, in order."""

    stretches: Sequence[Stretch]
    kill_at_s: float
    """When the engine's core dies."""
    max_tokens: int
    """Of the longest answers."""
    seed: int = 1

    @property
    def length_s(self) -> float:
        """From the first stretch to the end of the last."""
        return sum(stretch.length_s for stretch in self.stretches)


async def play(scene: Scene, target: str, kill: Callable[[], None]) -> None:
    """Let it happen; returns when it is over and every request has ended.

    Args:
        scene: what.
        target: the gateway.
        kill: ends the engine's core.
    """
    async with callers(target, num_connections=2) as sending, asyncio.TaskGroup() as happening:
        load = open_loop(sending.send, _requests(scene), _arrivals(scene))
        happening.create_task(load)
        happening.create_task(_later(scene.kill_at_s, kill))
        # The picture shows the whole scene, also where its last request ends early.
        happening.create_task(asyncio.sleep(scene.length_s))


async def _later(at_s: float, happen: Callable[[], None]) -> None:
    await asyncio.sleep(at_s)
    happen()


def _arrivals(scene: Scene) -> Iterator[float]:
    start_s = 0.0
    for number, stretch in enumerate(scene.stretches):
        times = poisson(stretch.rate, scene.seed + number)
        yield from (start_s + at for at in takewhile(lambda at: at < stretch.length_s, times))  # noqa: B023 - used up before the next
        start_s += stretch.length_s


def _requests(scene: Scene) -> Iterator[LoadRequest]:
    draw = random.Random(scene.seed)  # noqa: S311 - load, not cryptography
    return (_request(number, draw, scene.max_tokens) for number in count(1))


def _request(number: int, draw: random.Random, max_tokens: int) -> LoadRequest:
    """Texts that begin alike, now and then a conversation or a caller who leaves."""
    words = " ".join(draw.choices(_WORDS, k=draw.randint(4, 40)))
    is_chat = number % _CHAT_EVERY == 0
    return LoadRequest(
        name=f"picture-{number}",
        prompt=(Message("user", "What is 2+2?"),) if is_chat else f"{_OPENING}{words}",
        options=GenerateOptions(
            max_tokens=draw.randint(max_tokens // 4, max_tokens), ignore_eos=not is_chat
        ),
        leaves_after=_LEAVES_AFTER if number % _LEAVES_EVERY == 0 else None,
    )
