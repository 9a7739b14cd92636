"""A short life of a deployment for a picture of its dashboard.

Texts and conversations at changing rates, callers who leave or are refused, and an engine core
that is killed.
"""

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, takewhile

from steeple_cli.load.arrivals import poisson
from steeple_cli.load.history import History, LoadRequest
from steeple_cli.load.loops import open_loop
from steeple_client import GenerateOptions, Message
from tests.support.traffic import callers

_OPENING = "one two three four five six seven eight nine ten eleven twelve thirteen "
_WORDS = ("what", "is", "two", "plus", "the", "red", "sky", "and", "seven", "times")
_CHAT_EVERY, _LEAVES_EVERY, _LEAVES_AFTER = 4, 9, 4
_REFUSAL_LIMIT_S = 60.0


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
    """When the engine's core dies, but not before a caller was refused for want of a place."""
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

    Raises:
        TimeoutError: no caller was refused; the scene's burst is too small for this deployment.
    """
    refused = asyncio.Event()

    def look(history: History) -> None:
        if history.error is not None and history.error.reason == "QUEUE_FULL":
            refused.set()

    async def lose_core() -> None:
        await asyncio.sleep(scene.kill_at_s)
        # On a slow machine the burst is late; a core that is lost before it leaves no full queue.
        async with asyncio.timeout(_REFUSAL_LIMIT_S):
            await refused.wait()
        kill()

    async with callers(target, num_connections=2) as sending, asyncio.TaskGroup() as happening:
        load = open_loop(sending.send, _requests(scene), _arrivals(scene), on_end=look)
        happening.create_task(load)
        happening.create_task(lose_core())
        # The picture shows the whole scene, also where its last request ends early.
        happening.create_task(asyncio.sleep(scene.length_s))


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
    is_chat, leaves = number % _CHAT_EVERY == 0, number % _LEAVES_EVERY == 0
    num_tokens = draw.randint(max_tokens // 4, max_tokens)
    return LoadRequest(
        name=f"picture-{number}",
        prompt=(Message("user", "What is 2+2?"),) if is_chat else f"{_OPENING}{words}",
        options=GenerateOptions(
            # Who leaves asked for much: the answer is not over before.
            max_tokens=max_tokens if leaves else num_tokens,
            ignore_eos=not is_chat,
        ),
        leaves_after=_LEAVES_AFTER if leaves else None,
    )
