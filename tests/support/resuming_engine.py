"""Engines that compute a function of prompt and output so far, and are lost by script."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field

from gateway.upstream_values import EngineRequest, EngineUpdate
from gateway.values import FinishReason
from steeple_rpc.errors import ServiceError, Unavailable

VOCAB = 1000

NextToken = Callable[[Sequence[int], int], int]


def next_token(prompt: Sequence[int], position: int) -> int:
    """The id at a position of the output; depends on all of the prompt."""
    return (sum(prompt) + 7 * position * position + 3) % VOCAB


def answer(prompt: Sequence[int], num_tokens: int) -> list[int]:
    """The output that nothing interrupts."""
    return [next_token(prompt, position) for position in range(num_tokens)]


def lost(reason: str = "ENGINE_LOST") -> Unavailable:
    """What the gateway sees of an engine that goes."""
    return Unavailable("gone", reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One attempt: so many tokens in messages of this size, then the error.

    None tokens = to the end. `starts` = the start is told before anything else happens.
    """

    num_tokens: int | None = None
    error: ServiceError = field(default_factory=lost)
    chunk: int = 1
    starts: bool = True


@dataclass
class ResumingEngine:
    """Lives its lives one after the other, the last one for ever; strict about what it is given."""

    lives: list[Life] = field(default_factory=lambda: [Life()])
    token_at: NextToken = next_token
    on_loss: Callable[[], object] = lambda: None
    requests: list[EngineRequest] = field(default_factory=list)
    timeouts: list[float | None] = field(default_factory=list)
    num_running: int = 0

    async def generate(
        self, request: EngineRequest, timeout_s: float | None, take: Callable[[EngineUpdate], bool]
    ) -> None:
        life = self.lives[0] if len(self.lives) == 1 else self.lives.pop(0)
        self.requests.append(request)
        self.timeouts.append(timeout_s)
        self.num_running += 1
        try:
            async for update in self._updates(request, life):
                if not take(update):
                    return
                # As over a wire: what is told is heard before the next thing happens.
                await asyncio.sleep(0)
        finally:
            self.num_running -= 1

    async def _updates(
        self, request: EngineRequest, life: Life
    ) -> AsyncGenerator[EngineUpdate, None]:
        limit = request.stopping["max_tokens"]
        assert isinstance(limit, int)
        position = len(request.prior_output_token_ids)
        assert position < limit
        end = limit if life.num_tokens is None else min(limit, position + life.num_tokens)
        if life.starts:
            yield EngineUpdate(
                is_first=True,
                sampling={**request.sampling, "temperature": 1.0},
                stopping=request.stopping,
                num_cached_prompt_tokens=position,
                queue_ns=10,
            )
        while life.starts and position < end:
            upto = min(position + life.chunk, end)
            ids = tuple(self.token_at(request.prompt_token_ids, i) for i in range(position, upto))
            is_last = upto == limit and life.num_tokens is None
            yield EngineUpdate(
                first_position=position,
                token_ids=ids,
                finish_reason=FinishReason.MAX_TOKENS if is_last else None,
                prefill_ns=100 if is_last else 0,
                decode_ns=1000 if is_last else 0,
            )
            position = upto
        if life.num_tokens is not None or not life.starts:
            self.on_loss()
            raise life.error
