"""Streams of every kind that are watched while something is lost, and then compared."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from steeple_client import (
    AsyncClient,
    Finished,
    GenerateOptions,
    Started,
    TextDelta,
    Token,
    Usage,
)

MAX_TOKENS = 32
OnTokens = Callable[[int], None]
_BASE = GenerateOptions(max_tokens=MAX_TOKENS, ignore_eos=True, token_details=True, timeout_s=90.0)
_SEEDED = GenerateOptions(**_BASE, temperature=1.0, seed=20_261_121)
KINDS: Mapping[str, GenerateOptions] = {
    "greedy": GenerateOptions(**_BASE, temperature=0.0),
    "seeded": _SEEDED,
    "logprobs": GenerateOptions(**_SEEDED, logprobs=3),
    "stop": _SEEDED,
    "penalties": GenerateOptions(
        **_SEEDED,
        repetition_penalty=1.3,
        presence_penalty=0.6,
        frequency_penalty=0.4,
        logit_bias={40: 2.0, 41: -3.0},
        bad_words=["a", "12"],
    ),
}
"""What is asked for; the stop string is chosen from what the answer would be without one."""


@dataclass(slots=True)
class Answer:
    """Everything that one stream told."""

    text: str = ""
    tokens: list[Token] = field(default_factory=list)
    num_started: int = 0
    num_prompt_tokens: int = 0
    finished: Finished | None = None
    usage: Usage | None = None

    def told(self) -> tuple[object, ...]:
        """What must not depend on who computed it."""
        usage = self.usage
        return (
            self.text,
            self.tokens,
            self.num_started,
            self.finished,
            None if usage is None else (usage.num_prompt_tokens, usage.num_completion_tokens),
        )


async def read(
    target: str, prompt: str, options: GenerateOptions, on_tokens: OnTokens = lambda _: None
) -> Answer:
    """One stream to its end.

    Args:
        target: the gateway.
        prompt: a text.
        options: of the request.
        on_tokens: told how many tokens have come, with each delta.
    """
    answer = Answer()
    async with AsyncClient(target) as client:
        async for event in client.generate_stream(prompt, **options):
            match event:
                case Started():
                    answer.num_started += 1
                    answer.num_prompt_tokens = event.num_prompt_tokens
                case TextDelta():
                    answer.text += event.text
                    answer.tokens += event.tokens
                    on_tokens(event.num_completion_tokens)
                case Finished():
                    answer.finished = event
                case Usage():
                    answer.usage = event
    return answer


async def all_kinds(target: str, prompt: str) -> dict[str, GenerateOptions]:
    """The options of every kind, with a stop string in the last third of its answer."""
    free = await read(target, prompt, KINDS["stop"])
    place = 2 * len(free.text) // 3
    return {**KINDS, "stop": GenerateOptions(**KINDS["stop"], stop=[free.text[place : place + 3]])}


async def read_all(
    target: str,
    prompt: str,
    kinds: Mapping[str, GenerateOptions],
    on_tokens: OnTokens = lambda _: None,
    *,
    cache_salt: str,
) -> dict[str, Answer]:
    """One stream of each kind, all at once; a new salt has every prompt computed anew."""
    answers = await asyncio.gather(
        *(
            read(target, prompt, GenerateOptions(**options, cache_salt=cache_salt), on_tokens)
            for options in kinds.values()
        )
    )
    return dict(zip(kinds, answers, strict=True))
