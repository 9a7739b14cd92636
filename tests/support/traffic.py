"""Requests to a fake engine that echoes, with a canary in each, and how they are sent."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from steeple_cli.load.caller import Callers, OnEvent
from steeple_cli.load.history import History, LoadRequest
from steeple_client import NO_RETRIES, AsyncClient, GenerateOptions
from tests.support.guarantees import Promise, canary, violations


def echo(
    name: str, *, max_tokens: int = 40, leaves_after: int | None = None, timeout_s: float = 60.0
) -> LoadRequest:
    """A request whose answer repeats its prompt, canary included.

    Args:
        name: unique in the load.
        max_tokens: of the answer.
        leaves_after: events after which the caller cancels.
        timeout_s: the caller's deadline.
    """
    options = GenerateOptions(max_tokens=max_tokens, timeout_s=timeout_s, temperature=0.0)
    request = LoadRequest(name=name, prompt="", options=options)
    return LoadRequest(
        name=name,
        prompt=f"{canary(request)} tell ",
        options=options,
        leaves_after=leaves_after,
    )


def echoes(count: int, *, prefix: str = "c", max_tokens: int = 40) -> Iterator[LoadRequest]:
    """So many of them."""
    return (echo(f"{prefix}{number:06d}", max_tokens=max_tokens) for number in range(count))


@asynccontextmanager
async def callers(
    target: str, *, num_connections: int = 1, on_event: OnEvent = lambda *_: None
) -> AsyncIterator[Callers]:
    """Callers of a gateway, for the block."""
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(AsyncClient(target, retries=NO_RETRIES))
            for _ in range(num_connections)
        ]
        yield Callers(clients, on_event=on_event)


def assert_kept(histories: Sequence[History], *allowed: str, max_s: float = float("inf")) -> None:
    """Fail unless every stream kept every promise; `allowed` reasons may have ended some."""
    promise = Promise(allowed=frozenset(allowed), max_s=max_s, has_canaries=True)
    broken = violations(histories, promise)
    assert not broken, "\n".join(broken[:20])
